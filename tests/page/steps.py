"""What tests of the page do again and again."""

import json

LAST = "document.querySelector('.message.assistant:last-of-type')"
# The texts of the answers that the browser has kept, one of each conversation.
KEPT = """new Promise(done => { const open = indexedDB.open('naru'); open.onsuccess = () => {
    const all = open.result.transaction('conversations').objectStore('conversations').getAll();
    all.onsuccess = () => done(all.result.map(each => each.nodes[each.leaf].text).sort()); }; })"""


def url_of(server):
    return f"http://{server.address[0]}:{server.address[1]}/"


def quiet(tab, *expected):
    """No script failed, no policy was hurt, and nobody but the server was asked."""
    wrong = [problem for problem in tab.problems if not any(word in problem for word in expected)]
    assert not wrong, wrong
    own = tab.js("location.origin")
    strange = [url for url in tab.requests if not url.startswith((own, "data:", "blob:", "about:"))]
    assert not strange, strange


def settings(tab, **values):
    for name, value in values.items():
        tab.js(f"""(() => {{ const e = document.querySelector('#set-{name}'); e.value = '{value}';
                   e.dispatchEvent(new Event('input')); }})()""")


def foot(tab, words):
    """Presses the button of that name under the last answer."""
    tab.wait(f"""(() => {{ const b = [...document.querySelectorAll('.message:last-of-type .actions button')]
        .find(b => b.textContent === {json.dumps(words)}); b?.click(); return Boolean(b); }})()""")


def prove(tab):
    """The proof of the answer that is being written, and its verdict."""
    tab.wait_for_answer()
    tab.js("document.querySelector('.message.assistant .proof').click()")
    tab.wait("document.querySelector('.verdict.good, .verdict.bad')", 60)
