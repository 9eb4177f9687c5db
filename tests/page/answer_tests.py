"""How an answer is shown, with a server that answers by scripts."""

import re

from server_rig import Server
from steps import quiet
from stub import Stub, at_rate


def test_arithmetic_is_no_emphasis(browser, binary):
    sums = "3*2=6\n24*3=72\n(1+2)*4=12, 2*(3*(4)), 2*x*y, 2**3**2"
    answer = f"{sums}\n\n**bold** and *word*, **2*3=6**, **24**(a note), in*si*de"

    def script(say, body):
        say(reasoning=sums)
        say(content=answer)

    with Server(binary) as server, Stub(server.address, {"sum": script}) as stub, browser.tab() as tab:
        tab.open(stub.url)
        tab.say("sum")
        tab.wait_for_answer()
        tab.js("document.querySelector('.reasoning summary').click()")
        tab.wait("document.querySelector('.reasoning-text p')")
        assert tab.js("document.querySelector('.reasoning-text').innerText") == sums
        assert tab.js("document.querySelector('.text p').textContent") == sums
        found = tab.js("[...document.querySelectorAll('.text strong, .text em')].map(e => e.textContent)")
        assert found == ["bold", "word", "2*3=6", "24", "si"], found
        quiet(tab)


def test_full_context_and_empty_answer(browser, binary):
    scripts = {"full": lambda say, body: say(content="Cut") or "length", "empty": lambda say, body: say(content=" ") or "stop"}
    with Server(binary) as server, Stub(server.address, scripts) as stub, browser.tab() as tab:
        stub.facts["context_length"] = 101  # of the stub's usage: 100 of the prompt, 1 of the answer
        tab.open(stub.url)
        tab.say("full")
        tab.wait_for_answer()
        tab.wait("document.querySelector('.notice')?.innerText.includes('--context')")
        assert "Continue" not in tab.text(".message.assistant .foot"), tab.text(".message.assistant .foot")
        # After a reload too; and a server with a longer one goes on.
        tab.open(stub.url)
        tab.wait("document.querySelector('.notice')?.innerText.includes('--context')")
        stub.facts["context_length"] = 4096
        tab.open(stub.url)
        tab.wait("document.querySelector('.message.assistant .foot')?.innerText.includes('Continue')")
        tab.press("n", alt=True)
        tab.say("empty")
        tab.wait("document.querySelector('.notice:not([hidden])')?.innerText === '(empty answer)'")
        quiet(tab)


def test_a_long_answer_that_is_left(browser, binary):
    lines = "".join(f"[Line {i}](https://example.org/{i}) of many.\n\n" for i in range(3000))

    def say_all(say, body):
        for i in range(0, len(lines), 2000):
            say(content=lines[i:i + 2000])

    with Server(binary) as server, Stub(server.address, {"long": say_all}) as stub, browser.tab() as tab:
        tab.open(stub.url)
        tab.say("long")
        tab.wait_for_answer(60)
        # Gone at once for the eye, the keyboard and whoever listens; in pieces out of the page.
        found = tab.js("""(() => {
            const link = document.querySelector('.text a');
            document.querySelector('#new').click();
            const leaves = document.querySelector('.leaves');
            link.focus();
            return [leaves?.querySelectorAll('a').length ?? 0, leaves?.checkVisibility({visibilityProperty: true}) && link.checkVisibility(),
                    document.activeElement === link, document.querySelectorAll('.message').length,
                    document.querySelector('#scroller').scrollHeight <= document.querySelector('#scroller').clientHeight];
        })()""")
        assert found == [3000, False, False, 0, True], found
        tab.wait("!document.querySelector('.leaves')")
        assert tab.js("document.querySelectorAll('#log a').length") == 0
        tab.js("document.querySelector('.list .open').click()")
        tab.wait("document.querySelectorAll('.text a').length === 3000", 60)
        # One that is opened again while it still leaves is whole.
        tab.js("document.querySelector('#new').click(); document.querySelector('.list .open').click()")
        tab.wait("!document.querySelector('.leaves') && document.querySelectorAll('.text a').length === 3000", 60)
        assert tab.js("document.querySelector('.text').textContent.includes('Line 2999 of many')")
        quiet(tab)


def test_a_table_that_grows_is_one(browser, binary):
    rows = [f"| {i} | `c{i}` |\n" for i in range(150)]
    text = "| n | code |\n|--:|---|\n" + "".join(rows) + "\nBehind it: | no | row |\n\n| m |\n|---|\n| 1 |\n"

    # At a rate at which it is drawn many times while it grows, and at once.
    scripts = {str(size): lambda say, body, size=size: at_rate(say, text, 1500 / size, size) for size in (3, 25, len(text))}
    with Server(binary) as server, Stub(server.address, scripts) as stub, browser.tab() as tab:
        tab.open(stub.url)
        for name in scripts:
            tab.press("n", alt=True)
            tab.say(name)
            tab.wait_for_answer(60)
            found = tab.js("[...document.querySelectorAll('.message.assistant table')].map(t => [...t.rows].map(r => r.innerText.trim()).join(';'))")
            assert found == ["n\tcode;" + ";".join(f"{i}\tc{i}" for i in range(150)), "m;1"], (name, found)
            assert tab.js("getComputedStyle(document.querySelectorAll('.message.assistant td')[200]).textAlign") == "right"
            assert "Behind it: | no | row |" in tab.text(".message.assistant .text"), name
        quiet(tab)


def test_a_table_of_long_rows_keeps_its_order(browser, binary):
    head = "| n | words |\n|--:|---|\n"
    texts = {"long": head + "".join(f"| r{i}x | {'ab ' * 300}|\n" for i in range(30)),
             "mixed": head + "".join(f"| r{i}x | {'ab ' * (300 if 16 <= i < 30 else 2)}|\n" for i in range(40))}
    scripts = {f"{name} {size}": lambda say, body, name=name, size=size: at_rate(say, texts[name], 200, size)
               for name in texts for size in (900, len(texts[name]))}
    with Server(binary) as server, Stub(server.address, scripts) as stub, browser.tab() as tab:
        tab.open(stub.url)
        for name in scripts:
            tab.press("n", alt=True)
            tab.say(name)
            tab.wait_for_answer(60)
            rows = re.findall(r"r(\d+)x", tab.text(".message.assistant .text"))
            assert rows == [str(i) for i in range(30 if name.startswith("long") else 40)], (name, rows)
            cells = tab.js("document.querySelectorAll('.message.assistant tbody tr').length")
            assert cells == len(rows), (name, cells)
        quiet(tab)
