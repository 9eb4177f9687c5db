"""A headless Chromium, driven through its DevTools protocol over two pipes. Python's standard library only."""

import base64
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
WAIT_SECONDS = 30
KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), "ArrowUp": (38, ""), "ArrowDown": (40, ""), "ArrowLeft": (37, ""),
        "ArrowRight": (39, ""), " ": (32, " ")}

# Looks until it is true, for a second at a time. An element counts as true: by value it would be an empty object.
WAITING = """new Promise((done, fail) => {
    const end = performance.now() + 1000;
    const look = async () => {
        try {
            const value = await (WANTED);
            if (value || performance.now() > end) done(value instanceof Node ? true : value);
            else setTimeout(look, 5);
        } catch (problem) {
            fail(problem);
        }
    };
    look();
})"""
GONE = ("context was destroyed", "Cannot find context", "navigated or closed", "promise was collected")


def find_browser():
    """The path of a browser that can be driven, or None."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


class Browser:
    def __init__(self, program=None, flags=()):
        self.folder = tempfile.TemporaryDirectory(prefix="naru-browser-")
        ours_out, theirs_in = self._pipe()
        theirs_out, ours_in = self._pipe()

        def place():
            # DevTools reads descriptor 3 and writes 4.
            os.dup2(theirs_out, 3)
            os.dup2(theirs_in, 4)

        command = [program or find_browser(), "--remote-debugging-pipe", "--headless", "--no-sandbox", "--disable-gpu",
                   "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update",
                   "--disable-sync", "--no-default-browser-check", "--hide-scrollbars", "--force-color-profile=srgb",
                   f"--user-data-dir={self.folder.name}", *flags, "about:blank"]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, preexec_fn=place, pass_fds=(3, 4), stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, env={**os.environ, "HOME": self.folder.name})
        os.close(theirs_in)
        os.close(theirs_out)
        self.reader, self.writer = os.fdopen(ours_out, "rb"), os.fdopen(ours_in, "wb")
        self.lock, self.has_come = threading.Lock(), threading.Condition()
        self.last_id, self.answers, self.tabs, self.is_gone = 0, {}, {}, False
        threading.Thread(target=self._read, daemon=True).start()

    @staticmethod
    def _pipe():
        """Both ends above the descriptors that a browser wants for itself."""
        ends = os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
        for end in ends:
            os.close(end)
        return high

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def _read(self):
        held = b""
        while True:
            more = os.read(self.reader.fileno(), 1 << 20)
            if not more:
                break
            *messages, held = (held + more).split(b"\0")
            for message in map(json.loads, messages):
                with self.has_come:
                    if "id" in message:
                        self.answers[message["id"]] = message
                    elif message.get("sessionId") in self.tabs:
                        self.tabs[message["sessionId"]]._event(message["method"], message["params"])
                    self.has_come.notify_all()
        with self.has_come:
            self.is_gone = True
            self.has_come.notify_all()

    def ask(self, method, params=None, session=None, seconds=WAIT_SECONDS):
        with self.lock:
            self.last_id += 1
            number = self.last_id
            message = {"id": number, "method": method, "params": params or {}}
            if session:
                message["sessionId"] = session
            self.writer.write(json.dumps(message).encode() + b"\0")
            self.writer.flush()
        with self.has_come:
            if not self.has_come.wait_for(lambda: number in self.answers or self.is_gone, seconds):
                raise TimeoutError(f"the browser does not answer {method} {str(params)[:200]}")
            if number not in self.answers:
                self.log.seek(0)
                raise RuntimeError(f"the browser has ended: {self.log.read()[-2000:].decode(errors='replace')}")
            answer = self.answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def tab(self, **how):
        """A tab that shares nothing with the others: storage of its own."""
        return Tab(self, **how)


class Tab:
    def __init__(self, browser, width=1280, height=800, dark=False, language="en-US", scripts=(), scale=1, context=None):
        self.browser = browser
        self.context = context or browser.ask("Target.createBrowserContext")["browserContextId"]
        self.owns_context = context is None
        self.target = browser.ask("Target.createTarget", {"url": "about:blank", "browserContextId": self.context})["targetId"]
        self.session = browser.ask("Target.attachToTarget", {"targetId": self.target, "flatten": True})["sessionId"]
        self.problems, self.requests, self.downloads = [], [], []
        self.traced, self.is_trace_whole = [], False  # of frame_trace.py
        browser.tabs[self.session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.size(width, height, scale)
        self.ask("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        self.ask("Emulation.setLocaleOverride", {"locale": language})
        agent = browser.ask("Browser.getVersion")["userAgent"]
        self.ask("Emulation.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": language})
        for script in scripts:
            self.ask("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.browser.ask("Target.closeTarget", {"targetId": self.target})
        if self.owns_context:
            self.browser.ask("Target.disposeBrowserContext", {"browserContextId": self.context})

    def _event(self, method, params):
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"{params['entry']['source']}: {params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Tracing.dataCollected":
            self.traced += params["value"]
        elif method == "Tracing.tracingComplete":
            self.is_trace_whole = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def ask(self, method, params=None, seconds=WAIT_SECONDS):
        return self.browser.ask(method, params, self.session, seconds)

    def size(self, width, height, scale=1):
        self.ask("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": scale,
                                                        "mobile": width < 600})

    def open(self, url):
        self.ask("Page.navigate", {"url": url})
        self.wait("document.querySelector('#connection')?.textContent && document.querySelector('.log')?.childElementCount > 0")

    def js(self, expression, seconds=WAIT_SECONDS):
        answer = self.ask("Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True,
                                               "userGesture": True}, seconds)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(f"{expression[:200]}: {details.get('exception', {}).get('description') or details['text']}")
        return answer["result"].get("value")

    def wait(self, expression, seconds=WAIT_SECONDS):
        """Until the expression is true; its value. The page itself looks, so that nothing goes to and fro meanwhile."""
        end = time.monotonic() + seconds
        while True:
            try:
                value = self.js(WAITING.replace("WANTED", expression), seconds + WAIT_SECONDS)
            except RuntimeError as problem:
                if not any(word in str(problem) for word in GONE):
                    raise
                time.sleep(0.01)  # another page comes
                continue
            if value:
                return value
            if time.monotonic() > end:
                raise TimeoutError(f"it never became true: {expression}; the page: {self.text()[:1500]!r}; {self.problems[:5]}")

    def text(self, selector="body"):
        return self.js(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def click(self, selector):
        place = self.wait(f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            if (!element) return null;
            element.scrollIntoView({{block: "nearest"}});
            const box = element.getBoundingClientRect();
            return box.width > 0 ? [box.x + box.width / 2, box.y + box.height / 2] : null;
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", {"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1})

    def press(self, key, alt=False, shift=False):
        code, text = KEYS[key] if key in KEYS else (ord(key.upper()), key)
        name = f"Key{key.upper()}" if len(key) == 1 and key.isalpha() else f"Digit{key}" if key.isdigit() else key
        event = {"key": key, "code": name, "windowsVirtualKeyCode": code, "modifiers": (1 if alt else 0) + (8 if shift else 0)}
        self.ask("Input.dispatchKeyEvent", {"type": "keyDown", **event, **({"text": text} if text and not alt else {})})
        self.ask("Input.dispatchKeyEvent", {"type": "keyUp", **event})

    def type(self, text):
        self.ask("Input.insertText", {"text": text})

    def say(self, text):
        """Types a message and sends it."""
        self.js("document.querySelector('#input').focus()")
        self.type(text)
        self.press("Enter")

    def wait_for_answer(self, seconds=WAIT_SECONDS):
        """Until nothing is answered any more and all is drawn; the text of the last answer."""
        self.wait("document.querySelector('.message.assistant:last-of-type .foot .actions') && "
                  "!document.querySelector('#send.stops')", seconds)
        self.wait("document.querySelector('#log').getAttribute('aria-busy') === 'false'", seconds)
        return self.text(".message.assistant:last-of-type .text")

    def screenshot(self, path):
        data = self.ask("Page.captureScreenshot", {"format": "png"})["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def memory(self):
        """Bytes of JavaScript's heap after what nobody needs is gone, and elements that are alive."""
        self.ask("HeapProfiler.enable")
        for _ in range(2):
            self.ask("HeapProfiler.collectGarbage", seconds=120)
        usage = self.ask("Runtime.getHeapUsage")["usedSize"]
        return usage, self.ask("Memory.getDOMCounters")["nodes"]
