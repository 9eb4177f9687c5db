"""How an answer is shown, with a server that answers by scripts."""

from server_rig import Server
from steps import quiet
from stub import Stub


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
