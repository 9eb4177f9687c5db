"""The page of naru serve in a browser: what people do on it, with a real server and with one that answers by scripts.

    python3 run_page_tests.py BINARY [--only WORD]

Where no Chromium is installed it says so and ends with status 77. Longer proofs: tools/check_page.py.
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "server"))

import hostile
from answer_tests import (test_a_long_answer_that_is_left, test_a_table_of_long_rows_keeps_its_order,  # main() finds them here
                          test_a_table_that_grows_is_one, test_an_answer_cut_behind_its_reasoning,
                          test_arithmetic_is_no_emphasis, test_formulas_out_of_sight_are_their_source,
                          test_full_context_and_empty_answer, test_rows_that_cannot_be_made)
from browser import Browser, find_browser
from panel_tests import (test_a_folder_of_runs_that_comes, test_a_pipeline_served_alone, test_axes,  # here too
                         test_proof_and_server, test_runs)
from server_rig import Server
from steps import KEPT, LAST, foot, quiet, settings, url_of
from stub import Cut, Stub

KEY = "0123456789abcdef0123"
N_LINES, N_ROWS = 2001, 700  # of answers that are long; tools/check_page.py has longer ones
SKIPPED = 77
AT_ONCE = 2


def test_files_and_policy(browser, binary):
    with Server(binary, "--no-runs") as server:
        page = server.ask("GET", "/")
        assert page.status == 200 and page.fields["content-type"] == "text/html; charset=utf-8", page.fields
        policy = page.fields["content-security-policy"]
        assert "script-src 'self';" in policy and "unsafe" not in policy and "default-src 'none'" in policy
        assert page.fields["x-content-type-options"] == "nosniff" and page.fields["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in server.ask("GET", "/", origin="https://example.org").fields
        again = server.ask("GET", "/page/main.js", if_none_match=server.ask("GET", "/page/main.js").fields["etag"])
        assert again.status == 304 and again.body == b""
        head = server.ask("HEAD", "/page/chat.css")
        assert head.status == 200 and int(head.fields["content-length"]) > 1000
        assert server.ask("GET", "/page/fonts/KaTeX_Main-Regular.woff2").body[:4] == b"wOF2"
        for path in ("/page/none.js", "/page/../main.js", "/page/", "/page/%2e%2e/x", "/v1/page/main.js"):
            assert server.ask("GET", path).status == 404, path
        assert server.ask("GET", "/", host="example.org").status == 421
        off = server.ask("GET", "/v1/runs")
        assert off.status == 404 and off.json()["error"]["code"] == "no_runs"
        for names, metric in (("naru", "naru_requests_running"), ("vllm", "vllm:num_requests_running")):
            assert metric in server.ask("GET", f"/metrics?names={names}").body.decode()


def test_chat(browser, binary):
    with Server(binary, "--parallel", "4") as server, browser.tab() as tab:
        tab.open(url_of(server))
        tab.press("Escape")  # out of the input
        tab.press("?")
        tab.wait("document.querySelector('#help-dialog')?.open")
        tab.press("Escape")
        settings(tab, seed=7, max_tokens=24, temperature=1)
        tab.say("Hello there")
        said = tab.wait_for_answer()
        wanted = server.ask("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello there"}], "seed": 7,
                                                             "max_tokens": 24, "temperature": 1}).json()["choices"][0]
        # The page keeps its parts to itself: what it has is asked of the copy in the browser's storage.
        kept = tab.js("""new Promise(done => { const open = indexedDB.open('naru'); open.onsuccess = () => {
            const all = open.result.transaction('conversations').objectStore('conversations').getAll();
            all.onsuccess = () => done(JSON.stringify(all.result)); }; })""")
        [conversation] = json.loads(kept)
        node = conversation["nodes"][conversation["leaf"]]
        assert node["text"] == wanted["message"]["content"] and node["seed"] == "7" and node["state"] == "done", node
        assert node["finish"] == wanted["finish_reason"] and "cache" in tab.text("#meter"), tab.text("#meter")
        assert said or not node["text"].strip()
        foot(tab, "Retry")
        tab.wait(f"{LAST}.innerText.includes('2/2')")
        tab.js(f"{LAST}.querySelector('.branches button').click()")
        tab.wait(f"{LAST}.innerText.includes('1/2') && !document.querySelector('.stops')")
        assert tab.wait_for_answer() == said
        foot(tab, "Continue")
        tab.wait_for_answer()
        # Edited: another branch, and the old one stays.
        tab.js("document.querySelector('#input').focus()")
        tab.press("ArrowUp")
        assert tab.js("document.querySelector('#input').value") == "Hello there"
        tab.type(" my friend")
        tab.press("Enter")
        tab.wait("document.querySelector('.message.user').innerText.includes('my friend')")
        tab.wait_for_answer()
        assert "2/2" in tab.text(".message.user")
        # Another conversation; both are there after a reload, and words find the right one.
        tab.press("n", alt=True)
        tab.say("Something about **boats**")
        tab.wait_for_answer()
        tab.wait("document.querySelectorAll('.item').length === 2")
        tab.open(url_of(server))
        tab.wait("document.querySelectorAll('.item').length === 2 && document.querySelector('.message.user')")
        assert tab.text(".message.user .said") == "Something about **boats**"
        tab.js("document.querySelector('#search').focus()")
        tab.type("my friend")
        tab.wait("document.querySelectorAll('.item').length === 1")
        assert "Hello there" in tab.text(".list")
        tab.js("document.querySelector('.item .open').click()")
        tab.wait("document.querySelector('.message.user').innerText.includes('my friend')")
        quiet(tab)


def test_stop_attach_export_import(browser, binary):
    # It says one thing after the other until nobody listens.
    def script(say, body):
        while True:
            say(content="word ")
            time.sleep(0.01)

    with Server(binary) as server, Stub(server.address, {"notes.md\n````\nfirst line\n```\ncode\n```\n````\n\nRead it": script}) as stub, \
            browser.tab() as tab:
        tab.open(stub.url)
        tab.js("""(() => { const files = new DataTransfer();
            files.items.add(new File(['first line\\n```\\ncode\\n```\\n'], 'notes.md'));
            files.items.add(new File([new Uint8Array([0, 1, 2, 255])], 'picture.png'));
            const input = document.querySelector('#attach-file'); input.files = files.files;
            input.dispatchEvent(new Event('change')); })()""")
        tab.wait("document.querySelector('.chip') && document.querySelector('.banner')")
        assert "picture.png" in tab.text("#banner") and "notes.md" in tab.text("#files")
        tab.say("Read it")
        tab.wait("document.querySelector('.stops') && document.querySelector('.message.assistant .text')?.innerText.length > 0")
        tab.press("Escape")
        tab.wait_for_answer()
        assert "Stopped" in tab.text(".message.assistant") and "word" in tab.text(".message.assistant")
        # What is exported comes back in a browser that has nothing, and a wrong file is said to be one.
        text = tab.js("""new Promise(async done => { const make = URL.createObjectURL;
            URL.createObjectURL = blob => (blob.text().then(done), make(blob)); document.querySelector('#export').click(); })""")
        assert json.loads(text)["conversations"][0]["nodes"]
    with Server(binary) as server, browser.tab() as tab:
        tab.open(url_of(server))
        broken = json.dumps({"format": "naru-conversations", "conversations": [
            {"version": 1, "id": "0" * 24, "nodes": {"1" * 24: {"id": "1" * 24, "parent": "1" * 24, "role": "user", "text": "x"}}}]})
        for content, words in (("{}", "no file of naru"), (broken, "1 could not be read"), (text, "Conversations imported: 1")):
            tab.js(f"""(() => {{ const files = new DataTransfer(); files.items.add(new File([{json.dumps(content)}], 'x.json'));
                const input = document.querySelector('#import-file'); input.files = files.files;
                input.dispatchEvent(new Event('change')); }})()""")
            tab.wait(f"document.querySelector('#banner').innerText.includes({json.dumps(words)})")
        tab.wait("document.querySelector('.message.user')?.innerText.includes('Read it')")
        assert "notes.md" in tab.text(".message.user")
        quiet(tab)


def test_keys(browser, binary):
    with tempfile.NamedTemporaryFile("w") as keys:
        keys.write(f"{KEY} anna\n")
        keys.flush()
        with Server(binary, "--keys", keys.name) as server, browser.tab() as tab:
            tab.open(url_of(server))
            for key, keeps in (("f" * 20, False), (KEY, True)):
                tab.wait("document.querySelector('#key-dialog[open]')")
                tab.js("document.querySelector('#key').focus()")
                tab.type(key)
                if keeps:
                    tab.js("document.querySelector('#key-keep').click()")
                tab.press("Enter")
                tab.wait(f"document.querySelector('#key')?.value !== {json.dumps(key)}")
            settings(tab, max_tokens=8)
            tab.say("Hello")
            tab.wait_for_answer()
            tab.open(url_of(server))
            tab.say("Hello again")
            tab.wait_for_answer()
            assert not tab.js("document.querySelector('#key-dialog')")
            quiet(tab, "401")


def test_a_hostile_model(browser, binary):
    texts = {f"m{i}": text for i, text in enumerate(hostile.MARKUP + hostile.TOKENS + hostile.WIDE)}
    scripts = {name: (lambda say, body, text=text: [say(content=text[i:i + 997]) for i in range(0, len(text), 997)] and None)
               for name, text in texts.items()}
    scripts["thinks"] = lambda say, body: say(reasoning="".join(hostile.MARKUP[:8])) or say(content=hostile.MARKUP[0])
    with Server(binary) as server, Stub(server.address, scripts) as stub, browser.tab(width=400, height=700) as tab:
        tab.open(stub.url)
        for name in [*texts, "thinks"]:
            tab.say(name)
            tab.wait_for_answer(60)
            wide = tab.js("[document.documentElement.scrollWidth, innerWidth, document.querySelector('.log').scrollWidth, "
                          "document.querySelector('.log').clientWidth]")
            assert wide[0] <= wide[1] and wide[2] <= wide[3], (name, texts.get(name, "")[:80], wide)
            if len(tab.js("[...document.querySelectorAll('.message')].map(m => m.dataset.id)")) > 40:
                tab.press("n", alt=True)
        assert tab.js("window.pwned") is None
        bad = tab.js("""[...document.querySelectorAll('.log *')].filter(e => ['SCRIPT', 'IFRAME', 'STYLE', 'FORM', 'IMG', 'LINK', 'META',
            'BASE', 'VIDEO', 'OBJECT', 'INPUT'].includes(e.tagName) || [...e.attributes].some(a => a.name.startsWith('on')) ||
            /^\\s*(javascript|data):/i.test(e.getAttribute('href') ?? '')).map(e => e.outerHTML.slice(0, 100))""")
        assert not bad, bad
        assert "/leak" not in "".join(stub.paths) and not [url for url in tab.requests if "leak" in url], stub.paths
        # What is spelled is shown, and nothing else.
        shown = tab.js("document.querySelector('.log').innerText")
        assert "<script>window.pwned=1</script>" in shown
        quiet(tab)


def test_control_tokens_are_text(browser, binary):
    text = "Then <|im_end|> and </think> and <｜end▁of▁sentence｜>."
    with Server(binary) as server, Stub(server.address, {"spell": lambda say, body: say(content=text) and None}) as stub, \
            browser.tab() as tab:
        tab.open(stub.url)
        tab.say("spell")
        assert tab.wait_for_answer() == text


def test_questions_are_offered(browser, binary):
    question = "spell <b>this</b>"
    with Server(binary) as server, Stub(server.address, {question: lambda say, body: say(content="b") and None}) as stub, \
            browser.tab() as tab:
        stub.facts["questions"] = ["another", question]
        tab.open(stub.url)
        tab.wait("document.querySelectorAll('.welcome .questions button').length === 2")
        assert tab.text(".welcome li:last-child button") == question
        tab.js("(input => { input.value = 'typed'; input.dispatchEvent(new Event('input')); })(document.querySelector('#input'))")
        tab.click(".welcome li:last-child button")
        assert tab.wait_for_answer() == "b" and tab.text(".message.user .said") == question
        assert stub.bodies[-1]["messages"][-1]["content"] == question
        assert tab.js("document.querySelector('.welcome')") is None
        assert tab.js("document.querySelector('#input').value") == "typed"  # what stood there stays
        tab.press("n", alt=True)
        tab.wait("document.querySelectorAll('.welcome .questions button').length === 2")
        assert tab.text(".welcome .model-name") == "stub"
        quiet(tab)
    with Server(binary) as server, Stub(server.address, {}) as stub, browser.tab(language="ko-KR") as tab:
        stub.facts["questions"] = ["one", "三只船？", "배가 세 척?"]
        tab.open(stub.url)
        tab.wait("document.querySelectorAll('.welcome .questions button').length === 3")
        assert tab.text(".welcome li:first-child button") == "배가 세 척?"
        tab.js("(() => { const s = document.querySelector('#language'); s.value = 'zh'; s.dispatchEvent(new Event('change')); })()")
        assert tab.text(".welcome li:first-child button") == "三只船？"


def test_a_server_that_goes_away(browser, binary):
    whole = "".join(f"{i} words of an answer. " for i in range(200))
    state = {"n": 0}

    def script(say, body):
        state["n"] += 1
        if state["n"] == 1:
            say(reasoning="Let me think.")
            for i in range(0, 1000, 10):
                say(content=whole[i:i + 10])
            stub.is_away = True
            raise Cut
        say(reasoning="Let me think.")
        for i in range(0, len(whole), 7):
            say(content=whole[i:i + 7])

    with Server(binary) as server, Stub(server.address, {"go": script, "differ": script}) as stub, browser.tab() as tab:
        tab.open(stub.url)
        tab.say("go")
        tab.wait("document.querySelector('.notice')?.innerText.includes('gone away')")
        tab.wait(f"document.querySelector('.message.assistant .text').innerText.includes({json.dumps(whole[:900].strip())})")
        tab.wait("document.querySelector('#connection').classList.contains('bad')")
        stub.is_away = False
        assert tab.wait_for_answer() == whole.strip()
        assert stub.bodies[1]["seed"] == 1234567 and stub.bodies[1]["messages"] == stub.bodies[0]["messages"]
        # Another model in its place: what was said stays, and the page says so.
        state["n"], kept = 0, whole
        tab.press("n", alt=True)
        tab.say("differ")
        tab.wait("document.querySelector('.notice')?.innerText.includes('gone away')")
        whole = "Something else. " * 100
        stub.is_away = False
        tab.wait("document.querySelector('.notice.bad')?.innerText.includes('another answer')")
        tab.wait(f"document.querySelector('.message.assistant .text').innerText.includes({json.dumps(kept[:900].strip())})")
        # It is not there when it is asked.
        stub.is_away = True
        foot(tab, "Retry")
        tab.wait(f"{LAST}.innerText.includes('gone away')")
        stub.is_away = False
        state["n"] = 5
        tab.wait_for_answer()


FORBIDDEN = "Object.defineProperty(window, 'indexedDB', {get() { throw new DOMException('no', 'SecurityError'); }});" \
            "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }});"
FULL = "IDBObjectStore.prototype.put = function() { throw new DOMException('full', 'QuotaExceededError'); };"


def test_a_browser_that_keeps_nothing(browser, binary):
    with Server(binary) as server, Stub(server.address, {}) as stub:
        for script, words in ((FORBIDDEN, "keeps nothing"), (FULL, "storage is full")):
            with browser.tab(scripts=[script]) as tab:
                tab.open(stub.url)
                tab.say("one")
                tab.wait_for_answer()
                tab.wait(f"document.querySelector('#banner').innerText.includes({json.dumps(words)})")
                tab.press("n", alt=True)
                tab.say("two")
                tab.wait_for_answer()
                tab.wait("document.querySelectorAll('.item').length === 2")
                tab.js("document.querySelectorAll('.item .open')[1].click()")
                tab.wait("document.querySelector('.message.user').innerText.includes('one')")
                text = tab.js("""new Promise(async done => { const make = URL.createObjectURL;
                    URL.createObjectURL = blob => (blob.text().then(done), make(blob)); document.querySelector('#export').click(); })""")
                assert len(json.loads(text)["conversations"]) == 2
                quiet(tab)


# Storage that is full as long as window.isFull is.
FILLS = "(() => { const put = IDBObjectStore.prototype.put; IDBObjectStore.prototype.put = function(...given) {" \
        "if (window.isFull) throw new DOMException('full', 'QuotaExceededError'); return put.apply(this, given); }; })();"


def test_storage_that_fills_in_the_middle(browser, binary):
    go_on = threading.Event()

    def script(say, body):
        say(content="The first half, ")
        go_on.wait(30)
        say(content="and the second.")

    with Server(binary) as server, Stub(server.address, {"go": script, "next": lambda say, body: say(content="Next.")}) as stub, \
            browser.tab(scripts=[FILLS]) as tab:
        tab.open(stub.url)
        tab.say("go")
        tab.wait(f"{LAST}?.innerText.includes('first half')")
        tab.js("window.isFull = true")
        go_on.set()
        assert tab.wait_for_answer() == "The first half, and the second."
        tab.wait("document.querySelector('#banner').innerText.includes('storage is full')")
        tab.press("n", alt=True)
        tab.say("next")
        assert tab.wait_for_answer() == "Next."
        assert tab.js(KEPT) != ["Next.", "The first half, and the second."]
        # There is room again: with the next one that is kept, all are, and the line goes.
        tab.js("window.isFull = false")
        foot(tab, "Retry")
        tab.wait("!document.querySelector('#banner').innerText")
        tab.wait_for_answer()
        tab.wait(KEPT.replace("done(all", "done(String(all").replace(".sort())", ".sort()) === 'Next.,The first half, and the second.')"))
        quiet(tab)


ANSWER = """# A title

Some **bold**, *slanted* and `code`, with $e^{i\\pi} + 1 = 0$ and $5 or $6.

$$\\int_0^1 x^2\\,dx = \\tfrac13$$

| a | b |
|---|--:|
| 1 | 2 |

1. one
2. two
   - nested

```python
def f(x):
	return "text"  # note
```

[a link](https://example.org) and <b>no markup</b>.
"""


def test_markdown_and_languages(browser, binary):
    def slowly(say, body):
        for i in range(0, 3):
            say(reasoning="Thinking **hard**. ")
        for i in range(0, len(ANSWER), 3):
            say(content=ANSWER[i:i + 3])

    with Server(binary) as server, Stub(server.address, {"show": slowly}) as stub:
        for language, words in (("en-US", "Send"), ("ko-KR", "보내기"), ("zh-CN", "发送")):
            with browser.tab(language=language, dark=language != "en-US") as tab:
                tab.open(stub.url)
                assert tab.text("#send") == words
                tab.say("show")
                tab.wait_for_answer()
                tab.wait("document.querySelectorAll('.tex.drawn .katex').length === 2")
                found = tab.js("""(() => { const q = s => document.querySelector('.message.assistant .text ' + s);
                    return [q('h3').textContent, q('strong').textContent, q('em').textContent, q('td.to-right').textContent,
                    q('ol li ul li').textContent, q('.code .hl-word').textContent, q('.code .hl-note').textContent,
                    q('.code pre').innerText.includes('\\treturn'), q('a').rel]; })()""")
                assert found == ["A title", "bold", "slanted", "2", "nested", "def", "# note", True, "noopener noreferrer"], found
                assert "$5 or $6" in tab.text(".message.assistant .text") and "<b>no markup</b>" in tab.text(".message.assistant .text")
                assert not tab.js("document.querySelector('.reasoning').open")
                tab.js("document.querySelector('.reasoning summary').click()")
                tab.wait("document.querySelector('.reasoning strong')?.textContent === 'hard'")
                quiet(tab)
        with browser.tab() as tab:
            tab.open(stub.url)
            tab.js("(() => { const s = document.querySelector('#language'); s.value = 'ko'; s.dispatchEvent(new Event('change')); })()")
            assert tab.text("#send") == "보내기" and tab.js("document.documentElement.lang") == "ko"


# The elements of a text that comes in pieces, without the places that only its growing makes; against those of the whole.
PIECES = """(async () => {
    const {StreamView} = await import('/page/stream_view.js');
    const flat = node => node.nodeType === 3 ? node.data
        : ['parts', 'part', 'tail', 'code-part'].includes(node.className) || node.tagName === 'SPAN' ? [...node.childNodes].map(flat).join('')
        : `<${node.tagName}${node.start > 1 ? ' ' + node.start : ''}>${[...node.childNodes].map(flat).join('')}</>`;
    const made = (text, sizes) => {
        const root = document.createElement('div');
        const view = new StreamView(root);
        for (let i = 0, n = 0; i < text.length; i += sizes[n++ % sizes.length]) {
            view.append(text.slice(i, i + sizes[n % sizes.length]));
            while (!view.step(1000));
        }
        view.finish();
        while (!view.step(1000));
        return flat(root).replace(/\\s+/g, ' ');
    };
    const text = TEXT;
    const whole = made(text, [text.length]);
    return SIZES.map(sizes => made(text, sizes)).filter(each => each !== whole).concat([whole]);
})()"""


def test_text_in_pieces(browser, binary):
    """However an answer is cut into pieces, in the end it looks the same."""
    with Server(binary) as server, browser.tab() as tab:
        tab.open(url_of(server))
        sizes = [[3], [17], [40, 1, 300], [5, 120], [64, 7, 7, 200], [299], [13, 211, 2]]
        for text in (ANSWER, ANSWER.replace("\n", "\n\n"), "- a\n\n\tb\n" * 5 + "~~~\n```\n~~~\n> q\n> r\n\n1) x\n2) y\n\n***\n" + ANSWER * 2):
            found = tab.js(PIECES.replace("TEXT", json.dumps(text)).replace("SIZES", json.dumps(sizes)), 60)
            assert len(found) == 1, found[0][:2000] + "\nwanted\n" + found[-1][:2000]
        # A list that is longer than what is looked at together is made in pieces of its own.
        for number in ("{i}.", "1.", "1)"):
            items = "".join(f"{number.format(i=i)} item **{i}**\n   - below it\n" for i in range(1, 101))
            found = tab.js(PIECES.replace("TEXT", json.dumps(items)).replace("SIZES", json.dumps([[97], [299, 3]])), 60)
            assert len(found) == 1 and found[0].count("<OL") > 1 and found[0].count("<LI>") == 200, found
            for piece in re.finditer(r"<OL ?(\d*)>", found[0]):  # each goes on counting
                assert int(piece[1] or 1) == found[0][:piece.start()].count("item") + 1, (number, piece, found)


def test_long_answers(browser, binary):
    lines = [f"{i}. item **{i}** of many" if i % 3 else f"Line {i}\n" for i in range(N_LINES)]
    code = "```js\n" + "\n".join(f"const x{i} = {i}; // {i}" for i in range(N_LINES)) + "\n```\n"
    table = "| a | b |\n|---|---|\n" + "".join(f"| {i} | {i * i} |\n" for i in range(N_ROWS))

    def say_all(text):
        return lambda say, body: [say(content=text[i:i + 400]) for i in range(0, len(text), 400)] and None

    with Server(binary) as server, Stub(server.address, {"lines": say_all("\n".join(lines)), "code": say_all(code),
                                                         "table": say_all(table)}) as stub, browser.tab() as tab:
        tab.open(stub.url)
        tab.say("lines")
        tab.wait_for_answer(120)
        tab.wait(f"document.querySelector('.message.assistant .text').textContent.includes('item {N_LINES - 2} of many')", 60)
        # Four digits have the room that they need.
        assert tab.js("parseFloat(getComputedStyle([...document.querySelectorAll('.text ol')].pop()).paddingInlineStart)") > 45
        for i in (1, N_LINES // 2 + 1, N_LINES - 2):
            assert tab.js(f"document.querySelector('.message.assistant .text').textContent.includes('item {i} of')"), i
        tab.press("n", alt=True)
        tab.say("code")
        tab.wait_for_answer(120)
        tab.wait(f"document.querySelector('.message.assistant .code code')?.textContent.includes('// {N_LINES - 1}')", 60)
        assert tab.js("document.querySelector('.message.assistant .code code').textContent") == code[6:-5]
        tab.press("n", alt=True)
        tab.say("table")
        tab.wait_for_answer(120)
        tab.wait(f"document.querySelectorAll('.message.assistant td').length === {2 * N_ROWS}", 60)
        quiet(tab)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--only", default="", metavar="WORD", help="tests whose name has it")
    args = parser.parse_args()
    if find_browser() is None:
        print("skipped: no Chromium is installed; apt-get install chromium-headless-shell (./scripts/setup does)")
        return SKIPPED
    tests = [test for name, test in globals().items() if name.startswith("test_") and args.only in name]

    def run(test):
        begin = time.monotonic()
        try:
            test(browser, args.binary)
        except Exception as problem:  # the others run too
            print(f"FAILED  {test.__name__}: {type(problem).__name__}: {problem}", flush=True)
            if args.only:
                raise
            return False
        print(f"ok      {test.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
        return True

    # Two at once, each in a tab with a storage and a server of its own: most of the time one waits. The longest ones first.
    tests.sort(key=lambda test: test not in (test_a_hostile_model, test_long_answers, test_markdown_and_languages))
    with Browser() as browser, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        passed = list(pool.map(run, tests))
    print(f"{sum(passed)} of {len(tests)} passed")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
