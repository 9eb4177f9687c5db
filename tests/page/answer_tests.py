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
