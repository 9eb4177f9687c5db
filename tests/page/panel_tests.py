"""The parts of the page beside the chat: the proof, the server at work, training runs and their plots."""

import json
import pathlib
import tempfile

from server_rig import Server
from steps import foot, quiet, settings, url_of


def test_proof_and_server(browser, binary):
    with Server(binary, "--parallel", "4") as server, browser.tab() as tab:
        tab.open(url_of(server))
        settings(tab, max_tokens=40, temperature=1, seed=14)
        tab.say("Prove it")
        tab.wait_for_answer()
        foot(tab, "Proof")
        tab.wait("document.querySelector('.verdict.good, .verdict.bad')", 60)
        rows = tab.js("[...document.querySelectorAll('#proof tbody tr')].map(r => [...r.children].map(c => c.textContent))")
        assert tab.js("Boolean(document.querySelector('.verdict.good'))"), (tab.text(".verdict"), rows)
        assert len(rows) == 3 and len({(row[3], row[4]) for row in rows}) == 1 and rows[0][3], rows
        assert int(rows[1][1]) >= 1, rows
        # As many tokens as stand under the answer, which the last one ends; and nothing hangs out of a narrow screen.
        assert rows[0][2] == "8" and "8 tokens" in tab.text(".message.assistant .facts"), (rows, tab.text(".message.assistant .facts"))
        assert "8 tokens (7 of them text)" in tab.text(".verdict"), tab.text(".verdict")
        tab.size(400, 800)
        tab.wait("innerWidth === 400")
        assert tab.js("(() => { const d = document.querySelector('#proof'); return d.scrollWidth <= d.clientWidth && "
                      "[...d.querySelectorAll('.table')].every(t => t.scrollWidth <= t.clientWidth); })()")
        tab.size(1280, 800)
        # It belongs to the chat, and does not cover another part.
        tab.js("location.hash = '#server'")
        tab.wait("!document.querySelector('#proof').open")
        tab.wait("document.querySelectorAll('#server .plot').length === 4")
        tab.wait("document.querySelector('#server .tiles dd')?.textContent > 0 && document.querySelector('#server').innerText.includes('numerics')")
        tab.wait("document.querySelector('#server canvas').width > 100")
        quiet(tab)


def write_pipeline(folder, name, stages):
    (folder / name).mkdir(parents=True, exist_ok=True)
    before = [None, *(stage for stage, _ in stages)]
    (folder / name / "pipeline.json").write_text(json.dumps({"format": 1, "name": name, "stages": [
        {"name": stage, "kind": kind, "recipe": f"{stage}.toml",
         "inputs": [{"as": "model", "stage": before[i], "sha256": ""}] if i else []} for i, (stage, kind) in enumerate(stages)]}))


def write_run(folder, name, n, status="running", **more):
    run = folder / name
    run.mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text(json.dumps({"name": name, "status": status, "step": n, "steps": 100, "loss": 1.0 / n, "seconds": 5,
                                              "started": "2026-01-01T00:00:00Z", "updated": f"2026-01-01T00:00:{n % 60:02}Z", **more}))
    (run / "metrics.jsonl").write_text("".join(json.dumps({"step": i, "time": i, "loss": 1.0 / i, "<b>odd</b>": i}) + "\n"
                                               for i in range(1, n + 1)) + "no json\n")


def test_a_pipeline_served_alone(browser, binary):
    with tempfile.TemporaryDirectory() as folder:
        write_pipeline(pathlib.Path(folder), "small", [("base", "sft")])
        write_run(pathlib.Path(folder), "small/base", 10, "done")
        with Server(binary, "--runs", f"{folder}/small/") as server:
            listed = server.ask("GET", "/v1/runs").json()
            assert [one["id"] for one in listed["pipelines"]] == ["small"], listed
            assert [run["id"] for run in listed["runs"]] == ["base"], listed


def test_runs(browser, binary):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        folder = root / "runs"
        write_run(folder, "first", 10, "done")
        write_run(folder, "second", 20)
        write_pipeline(folder, "small", [("base", "sft"), ("rl", "grpo")])
        write_run(folder, "small/base", 100, "done")
        write_run(root, "secret", 5)
        (folder / "link").symlink_to(root / "secret")
        with Server(binary, "--runs", str(folder)) as server, browser.tab() as tab:
            listed = server.ask("GET", "/v1/runs").json()
            assert sorted(run["id"] for run in listed["runs"]) == ["first", "second", "small/base"], listed
            assert str(root) not in json.dumps(listed), listed
            assert [(stage["name"], stage["kind"], stage["takes"], stage["run"]) for stage in listed["pipelines"][0]["stages"]] == \
                [("base", "sft", "", "small/base"), ("rl", "grpo", "base", None)], listed
            run = server.ask("GET", "/v1/runs/first").json()
            assert run["status"] == "done" and [len(c["steps"]) for c in run["curves"] if c["name"] == "loss"] == [10], run
            for path in ("/v1/runs/none", "/v1/runs/link", "/v1/runs/..%2f..%2fetc", "/v1/runs/%2e%2e/first",
                         "/v1/runs/first/run.json", "/v1/runs/..%2fsecret"):
                assert server.ask("GET", path).status == 404, path
            assert server.ask("GET", "/v1/runs/%zz").status == 400
            tab.open(url_of(server) + "#runs")
            tab.wait("document.querySelectorAll('button.run-row').length === 3 && document.querySelectorAll('#runs .plot').length === 1")
            stages = tab.js("[...document.querySelectorAll('.pipeline .run-row')].map(row => row.innerText.replace(/\\s+/g, ' '))")
            assert tab.text(".pipeline h3").startswith("small") and stages == ["base sft done step 100 of 100 loss 0.0100", "rl grpo to do"], stages
            tab.js("document.querySelector('.run-row[data-id=\"small/base\"]').click()")
            tab.wait("document.querySelector('#runs .run-name')?.textContent.startsWith('small · base')")
            tab.js("document.querySelector('.run-row[data-id=first]').click()")
            tab.wait("document.querySelector('#runs .run-name').textContent.startsWith('first')")
            tab.js("document.querySelector('#runs details summary').click()")
            # Its text, drawn or not: what is out of sight is not laid out.
            tab.wait("document.querySelector('#runs details .plots')?.textContent.includes('<b>odd</b>')")
            alarms = [{"step": 7, "kind": "flat", "what": "all <b>same", "try": "x=1"},
                      {"step": 8, "kind": "new", "what": "no words", "try": "y=2"}]
            write_run(folder, "first", 30, "done", alarms=alarms)
            tab.wait("document.querySelector('.run-row[data-id=first]').textContent.includes('30')")
            for language, title in (("ko", "그룹 안의 보상이 모두 같습니다. "), ("zh", "组内奖励全部相同. "), ("en", "Groups of equal worth. ")):
                tab.js(f"(e => {{ e.value = '{language}'; e.dispatchEvent(new Event('change')); }})(document.querySelector('#language'))")
                tab.wait(f"document.documentElement.lang.startsWith('{language}') && document.querySelectorAll('.notice.bad').length === 2")
                said = tab.js("[...document.querySelectorAll('.notice.bad')].map(e => e.textContent.split(': ').slice(1).join(': '))")
                assert said == [f"{title}all <b>same. x=1", "no words. y=2"], said
            tab.wait("document.querySelector('#runs .plot .now').textContent === '0.03333'")
            quiet(tab)


# What stands at the axes of a plot of these values, as Chart.js would ask for it.
TICKS = """(async () => {
    const {Plot} = await import('/page/plots.js');
    const texts = [];
    for (const [values, options] of CASES) {
        const plot = new Plot('x', ['x'], options);
        document.body.append(plot.element);
        plot.put(values.map((_, i) => i), [values]);
        await plot.ready;
        const {x, y} = plot.chart.scales;
        texts.push([[y.min, y.max], y.ticks.map(t => t.label), x.ticks.map(t => t.label)]);
        plot.remove();
    }
    return texts;
})()"""


def test_axes(browser, binary):
    cases = [[[0, 0, 0], {}], [[0.25, 0.5], {"isShare": True}], [[0, 0], {"isShare": True}], [[6.9991, 6.9992, 6.9994], {}], [[7], {}],
             [[0, 1, 0], {"isCount": True}], [[5, 0.2, 0.01], {"mayBeLog": True}], [[1e-9, -2e-9], {}], [[1000000, 2500000], {}],
             [[None, None], {"fromZero": True}]]
    with Server(binary) as server, browser.tab() as tab:
        tab.open(url_of(server))
        for (values, options), (bounds, *axes) in zip(cases, tab.js(TICKS.replace("CASES", json.dumps(cases)))):
            for texts in axes:
                said = [text for text in texts if text]
                assert len(said) >= 2 and len(set(said)) == len(said), (values, axes)
            assert bounds[0] >= 0 or min(value or 0 for value in values) < 0, (values, bounds)
            if options.get("isShare"):
                assert bounds == [0, 1] and axes[0][0] == "0 %" and axes[0][-1] == "100 %", (bounds, axes)
        quiet(tab)


def test_a_folder_of_runs_that_comes(browser, binary):
    """It is looked for whenever it is asked for, not when the server starts."""
    with tempfile.TemporaryDirectory() as folder, Server(binary, folder=folder) as server, browser.tab() as tab:
        assert server.ask("GET", "/v1/runs").json() == {"runs": [], "pipelines": []}
        assert server.ask("GET", "/v1/runs/one").status == 404
        tab.open(url_of(server))
        tab.js("location.hash = '#runs'")
        tab.wait("document.querySelector('#runs .notice')?.innerText.includes('no training runs')")
        write_run(pathlib.Path(folder) / "runs", "one", 5)
        tab.wait("document.querySelector('#runs .run-row')?.innerText.includes('one')")
        tab.wait("document.querySelector('#runs .notice').hidden && document.querySelector('#runs .plot')")
        quiet(tab)
