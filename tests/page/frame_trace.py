"""How long the page's thread is at work in one piece, by the browser's own trace: no frame is drawn meanwhile."""

import time

CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline"]
SHOWN = 3  # parts of a task that are named


class FrameTrace:
    """What happens in `with`. A task's time is the thread's own, which other programs on the machine do not lengthen;
    beside it stands what a clock says."""

    def __init__(self, tab):
        self.tab = tab
        self.tasks = []  # (own ms, ms by the clock, what), the longest first

    def __enter__(self):
        self.tab.traced, self.tab.is_trace_whole = [], False
        self.tab.ask("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": {
            "recordMode": "recordAsMuchAsPossible", "includedCategories": CATEGORIES}})
        return self

    def __exit__(self, *problem):
        self.tab.ask("Tracing.end")
        end = time.monotonic() + 60
        while not self.tab.is_trace_whole:
            if time.monotonic() > end:
                raise TimeoutError("the browser gave no trace")
            time.sleep(0.02)
        self._read([event for event in self.tab.traced if event["ph"] == "X" and "tdur" in event])
        self.tab.traced = []

    def _read(self, events):
        own = [event for event in events if event["name"] == "FunctionCall" and "/page/" in event["args"]["data"].get("url", "")]
        threads = [(event["pid"], event["tid"]) for event in own]
        if not threads:
            return
        page = max(set(threads), key=threads.count)
        events = [event for event in events if (event["pid"], event["tid"]) == page]
        tasks = sorted((event for event in events if event["name"] == "RunTask"), key=lambda event: -event["tdur"])
        for task in tasks[:20]:
            self.tasks.append((round(task["tdur"] / 1000, 1), round(task["dur"] / 1000), self._parts(task, events)))
        self.tasks += [(task["tdur"] / 1000, task["dur"] / 1000, "") for task in tasks[20:]]

    @staticmethod
    def _parts(task, events):
        parts = [event for event in events if task["ts"] <= event["ts"] <= task["ts"] + task["dur"] and event is not task
                 and event["name"] != "FireAnimationFrame"]
        parts.sort(key=lambda event: -event["tdur"])
        name = lambda event: event["args"]["data"].get("url", "").split("/")[-1] if event["name"] == "FunctionCall" else event["name"]  # noqa: E731
        return ", ".join(f"{name(event)} {event['tdur'] / 1000:.0f}" for event in parts[:SHOWN])

    def longest(self):
        """Own ms, ms by the clock, and what it was made of."""
        return self.tasks[0] if self.tasks else (0.0, 0, "")
