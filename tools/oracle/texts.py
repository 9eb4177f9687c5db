"""The texts and chat prompts that the SmolLM2 comparisons run on; written for this project."""

CHAT_PROMPTS = [
    "Explain in simple words why the sky is blue during the day and red in the evening.",
    "Write a short story about a ferry that crosses a river at night.",
    "List ten things to check before a long bicycle trip, one line each.",
    "What is the difference between a stack and a queue? Give an example of each in Python.",
    "A train leaves at 9:15 and arrives at 12:40. How long is the trip? Explain step by step.",
    "Describe the life cycle of a butterfly to a child of eight years.",
    "Write a polite letter to a landlord asking to repair a leaking roof.",
    "Summarise the main causes of the French Revolution in about one hundred words.",
    "How do I make a vegetable soup with potatoes, carrots and leeks? Give the recipe.",
    "Compare the advantages and disadvantages of living in a big city and in a village.",
]

ENGLISH = """\
The ferry landing lies where the river is widest. In spring the water carries branches and whole trees from the \
mountains, and the ferryman stands at the bow with a long pole to push them aside. He learned the trade from his \
father, who learned it from an uncle, and none of them ever wrote down how it is done. When asked, he says that the \
river tells you: a dark line on the surface means a sandbank, a smooth patch means depth, and a row of small waves \
that never move means a stone just below. Passengers bring hens, bicycles, sacks of rice, letters and once a piano. \
The piano took nine men, four planks and most of an afternoon, and for years afterwards people counted time from it. \
"That was two winters after the piano," they would say, and everybody understood.

Bridges came later. The first one was built of wood and lasted until the flood of the third year; the second stood on \
iron feet and still stands. Engineers measured the current at eleven points, every hour, for a whole month, and found \
that it changed by less than four per cent from one day to the next, except after rain. They calculated the load that \
each pillar must bear, added one half for safety, and signed the drawings. Nobody signed anything for the ferry. It \
simply went on, because the bridge was far from the market and because the ferryman charged less than the toll.

What does a machine have in common with a ferry? Both must arrive at the same place however rough the water is. A \
calculation that gives 0.3000000000000000444 on Monday and 0.299999999999999988 on Tuesday has arrived at two \
different places, and a person who trusted the first one has reason to complain about the second. The usual answer is \
that the difference is small. So is the distance between a deck and a quay, and yet people fall into it.

So the old man kept a book after all. On the left page he wrote the date, the height of the water in hands, the wind \
and the number of crossings; on the right page, what had gone wrong. Most right pages are empty. On the others one \
finds a broken oar, a child with a fever, a sudden fog, two goats that jumped, and, in a careful hand, the remark: \
"Left the landing at noon. Arrived where I meant to arrive. Nothing else to report." It is the best page in the book.
"""

CODE = '''\
def merge(left, right):
    """Merges two sorted lists into one sorted list."""
    out, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            out.append(left[i])
            i += 1
        else:
            out.append(right[j])
            j += 1
    return out + left[i:] + right[j:]


def sort(items):
    if len(items) < 2:
        return items
    middle = len(items) // 2
    return merge(sort(items[:middle]), sort(items[middle:]))
'''

MIXED = """\
나루는 강을 건너는 사람들이 배를 기다리는 곳이다. Die Fähre fährt um 7:05, 8:35 und 10:05 Uhr. 渡し船は雨の日も休まない。
| time | load | note |
| ---: | ---: | --- |
| 06:00 | 12.5 | calm \N{WHITE SMILING FACE} |
| 18:30 | 1,048,576 | x\N{SUPERSCRIPT TWO} + y\N{SUPERSCRIPT TWO} = z\N{SUPERSCRIPT TWO} |
"""

TEXTS = {"english": ENGLISH, "code": CODE, "mixed": MIXED}
