#!/usr/bin/env python3
"""Writes examples/data/chat.jsonl (200 short conversations) and chat-validation.jsonl (24 others of the same kinds).

Everything in them is made here, from the tables below: questions with an answer of one sentence, in a tone that a small
model can pick up in a few minutes. No random numbers: the same script gives the same bytes. A conversation of the
validation file shares its kind with some of chat.jsonl and its question with none.
"""

import argparse
import json
import pathlib
import sys

N_TRAINING, N_VALIDATION = 200, 24
BYTES_MAX = 80_000

# What naru is: facts of README.md and docs/words.md.
NARU = [
    ("What is naru?", "naru is an engine that trains and runs DeepSeek-style models and gives the same bits on every exact chip."),
    ("What does the word naru mean?", "Naru (나루) is Korean for a ferry landing, a place where a river is crossed."),
    ("Tell me about naru in one sentence.", "naru is an engine for reasoning models whose answers are the same bits on every exact chip."),
    ("Who is naru for?", "naru is for people who want to run and train reasoning models and get the same result every time."),
    ("Why does naru give the same bits?", "Because the order of every sum and the place of every rounding are defined once, for all chips."),
    ("Does the number of threads change naru's answer?", "No, one thread and many threads give the same bits."),
    ("Does a batch change an answer of naru?", "No, an answer is the same alone and in any batch."),
    ("What is a chip in naru?", "A chip is what runs ops: the reference, the CPU or an accelerator."),
    ("What is an op in naru?", "An op is one operation of the contract, with a meaning and an exact order."),
    ("What is a kernel in naru?", "A kernel is one implementation of an op on a chip."),
    ("What is the contract in naru?", "The contract is the list of ops and their arithmetic, which all chips share."),
    ("What is a session in naru?", "A session is one growing sequence of tokens with its cache."),
    ("What is a page in naru?", "A page holds 32 positions of the cache and is the unit that sessions share."),
    ("What is a recipe in naru?", "A recipe is one TOML file that says everything that decides the bits of a training run."),
    ("How do I train a model with naru?", "Write a recipe and start `naru train` with its name."),
    ("How do I look at my training data?", "Start `naru data` with the recipe, and it shows tokens, rows and what is learnt."),
    ("How do I chat with a model in naru?", "Start `naru run` with the model's path and no prompt."),
    ("How do I see what a model costs?", "Start `naru show` with the model's path, and it shows memory and sizes."),
    ("Which files can naru open?", "naru opens Hugging Face folders and GGUF files."),
    ("What does exact mean in naru?", "A kernel is exact when it gives the very bits that the contract defines."),
    ("What is packing in training?", "Packing puts several documents into one row, so that few places stay empty."),
    ("What is a loss mask?", "A loss mask says which tokens of a document the model learns to write."),
    ("What does the assistant learn from a chat?", "It learns its own turns and the end of each, and not what it was asked."),
    ("What happens to a line that is too long?", "It is cut or dropped as the recipe says, and `naru data` reports it."),
    ("What is a checkpoint?", "A checkpoint is the set of files that hold a model, or the state of a run to go on from."),
    ("Can a training run go on after it was killed?", "Yes, it goes on from the last checkpoint and ends with the same bits."),
    ("What is a golden file?", "A golden file holds hashes of results that the reference chip made."),
]

# "Write one sentence about X."
SENTENCES = {
    "rivers": "A river takes the shortest way down that it can find and makes the valley on the way.",
    "rain": "Rain taps on the roof before it fills the gutters.",
    "mountains": "The mountain keeps its snow long after the valley is green.",
    "the sea": "The sea moves all day and stays where it is.",
    "bread": "Bread smells best in the minute before you may cut it.",
    "trains": "A night train turns the land outside into a row of small lights.",
    "libraries": "A library is a quiet room where many people speak at once.",
    "winter": "In winter the paths remember who walked there.",
    "bridges": "A bridge is a promise between two banks.",
    "ferries": "The ferry crosses slowly, and nobody on board minds.",
    "cats": "A cat finds the one warm place in every room.",
    "dogs": "The dog greets everybody as if they had been away for years.",
    "the moon": "The moon borrows its light and gives it back to the sea.",
    "clocks": "An old clock is wrong in its own steady way.",
    "gardens": "A garden asks for a little work every day and answers once a year.",
    "tea": "Tea is hot water that has listened to leaves.",
    "shoes": "Good shoes are noticed only by those who walk far.",
    "letters": "A letter arrives with the weather of the day on which it was written.",
    "birds": "The birds leave in autumn without saying where they go.",
    "stones": "A stone in the river grows round by staying where it is.",
    "windows": "A window shows the street to the room and the room to the street.",
    "music": "Music fills a house without moving a chair.",
    "markets": "At the market the loudest voice sells the smallest fish.",
    "fog": "Fog takes the far away and leaves the near.",
    "apples": "The last apple on the tree is always the reddest.",
    "maps": "A map is a landscape that fits into a pocket.",
    "lamps": "One lamp in a window is enough to find the way home.",
    "islands": "An island knows exactly where it ends.",
    "kitchens": "Every good talk of the evening ends in the kitchen.",
    "sleep": "Sleep comes when you stop waiting for it.",
    "snow": "Snow makes a noisy street whisper.",
    "boats": "A small boat teaches you to sit still.",
    "roads": "The road is longest just before the last bend.",
    "trees": "A tree writes down every year in a ring.",
    "bees": "The bees count flowers and never tell the number.",
    "paper": "A sheet of paper can hold a thought longer than a head can.",
    "lighthouses": "A lighthouse says the same word all night, and it is enough.",
    "summer": "Summer evenings are long enough for one more story.",
    "friends": "An old friend needs only half of the sentence.",
    "bicycles": "A bicycle stays up as long as it goes on.",
}

CAPITALS = {
    "France": "Paris", "Japan": "Tokyo", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon", "Germany": "Berlin",
    "South Korea": "Seoul", "China": "Beijing", "Egypt": "Cairo", "Kenya": "Nairobi", "Canada": "Ottawa",
    "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki", "Greece": "Athens", "Austria": "Vienna",
    "Poland": "Warsaw", "Hungary": "Budapest", "Ireland": "Dublin", "Iceland": "Reykjavik", "Peru": "Lima",
    "Chile": "Santiago", "Cuba": "Havana", "Vietnam": "Hanoi", "Thailand": "Bangkok", "Nepal": "Kathmandu",
    "Denmark": "Copenhagen", "Belgium": "Brussels", "Turkey": "Ankara", "Morocco": "Rabat",
}

OPPOSITES = {
    "hot": "cold", "early": "late", "full": "empty", "heavy": "light", "near": "far", "open": "closed", "wet": "dry",
    "loud": "quiet", "deep": "shallow", "wide": "narrow", "sharp": "blunt", "rough": "smooth", "young": "old",
    "fast": "slow", "high": "low", "strong": "weak", "thick": "thin", "inside": "outside", "before": "after",
    "always": "never", "first": "last", "buy": "sell", "push": "pull", "arrive": "leave", "remember": "forget",
    "begin": "end", "give": "take", "sweet": "bitter", "clean": "dirty", "safe": "dangerous",
}

PLURALS = {
    "leaf": "leaves", "child": "children", "mouse": "mice", "city": "cities", "box": "boxes", "foot": "feet",
    "knife": "knives", "tooth": "teeth", "berry": "berries", "wolf": "wolves", "goose": "geese", "bus": "buses",
    "shelf": "shelves", "woman": "women", "story": "stories", "dish": "dishes",
}

# Two questions about one thing: (first, answer, second, answer).
TALKS = [
    ("I want to read more. Where do I start?", "Start with ten pages every evening.", "And if I am too tired?", "Then read one page, and call it enough."),
    ("How do I boil an egg?", "Put it into boiling water for seven minutes.", "And if I like it soft?", "Then take it out after five."),
    ("What should I plant in a small pot?", "Plant basil, for it grows quickly in a small pot.", "How often do I water it?", "Water it whenever the earth feels dry."),
    ("I cannot sleep.", "Put the phone away and make the room dark.", "I did that already.", "Then get up, read a little, and try again."),
    ("Give me a name for a boat.", "Call it Morning.", "Another one?", "Call it Second Try."),
    ("How do I learn a poem by heart?", "Learn one line a day and say the lines before it each time.", "How long will that take?", "As many days as the poem has lines."),
    ("My bicycle squeaks.", "Put a drop of oil on the chain.", "It still squeaks.", "Then look whether the mudguard touches the wheel."),
    ("What is a good walk for an hour?", "Follow the river for half an hour and come back on the other side.", "There is no second bridge.", "Then turn round after half an hour and look at it all again."),
    ("How do I write a short letter?", "Say one thing, and say it first.", "How do I end it?", "Say when you will write again."),
    ("What do I cook for four people?", "Cook a large pot of lentil soup.", "One of them does not like lentils.", "Then cook potato soup instead."),
    ("I have an hour to tidy the room.", "Begin with what lies on the floor.", "And then?", "Then clear the table, and stop when the hour is over."),
    ("What do I take along on a boat?", "Take a warm coat and something to eat.", "It is summer.", "The wind on the water does not know that."),
    ("How do I thank a neighbour?", "Bring a loaf of bread and say what it is for.", "I cannot bake.", "Then bring flowers and say the same."),
    ("Is it too late to learn the piano?", "No, it is only too late to have begun yesterday.", "How much should I practise?", "Practise a quarter of an hour every day."),
]

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def talk(*texts, system=None):
    """Messages: the user's and the assistant's in turn."""
    messages = [{"role": "system", "content": system}] if system else []
    for i, text in enumerate(texts):
        messages.append({"role": "assistant" if i % 2 else "user", "content": text})
    return messages


def sums():
    for i in range(40):
        a, b = 3 + 7 * i % 41, 2 + 11 * i % 37
        yield talk(f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}.")


def lengths():
    for i in range(22):
        if i % 2:
            yield talk(f"How many centimetres are {i + 2} metres?", f"{i + 2} metres are {100 * (i + 2)} centimetres.")
        else:
            yield talk(f"How many minutes are {i + 2} hours?", f"{i + 2} hours are {60 * (i + 2)} minutes.")


def days():
    for i, day in enumerate(DAYS):
        n = 2 + i % 4
        later = DAYS[(i + n) % 7]
        yield talk(f"Which day is {NUMBERS[n]} days after {day}?", f"{NUMBERS[n].capitalize()} days after {day} is {later}.")


def kinds():
    """All conversations, kind by kind."""
    brief = "You answer in one short sentence."
    return [
        [talk(question, answer) for question, answer in NARU],
        [talk(f"Write one sentence about {topic}.", text) for topic, text in SENTENCES.items()],
        [talk(f"What is the capital of {country}?", f"The capital of {country} is {city}.", system=brief if i % 3 == 0 else None)
         for i, (country, city) in enumerate(CAPITALS.items())],
        [talk(f"What is the opposite of {word}?", f"The opposite of {word} is {other}.") for word, other in OPPOSITES.items()],
        [talk(f"What is the plural of {word}?", f"The plural of {word} is {many}.") for word, many in PLURALS.items()],
        list(sums()),
        list(lengths()),
        list(days()),
        [talk(*texts) for texts in TALKS],
    ]


def split():
    """(training, validation): the kinds in turn, every ninth conversation of a kind held out until there are enough."""
    training, validation = [], []
    lists = kinds()
    for i in range(max(map(len, lists))):
        for conversations in lists:
            if i >= len(conversations):
                continue
            held_out = i % 9 == 4 and len(validation) < N_VALIDATION
            (validation if held_out else training).append(conversations[i])
    return training[:N_TRAINING], validation


def lines(conversations):
    text = "".join(json.dumps({"messages": messages}, ensure_ascii=False) + "\n" for messages in conversations)
    return text.encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files that are there; write nothing")
    parser.add_argument("root", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent,
                        help="the project's root (default: that of this script)")
    arguments = parser.parse_args()
    root = arguments.root
    training, validation = split()
    assert len(training) == N_TRAINING and len(validation) == N_VALIDATION, (len(training), len(validation))
    asked = [c[-2]["content"] for c in training + validation]
    assert len(set(asked)) == len(asked), "a question comes twice"
    wrong = 0
    for name, conversations in (("chat.jsonl", training), ("chat-validation.jsonl", validation)):
        path, text = root / "examples" / "data" / name, lines(conversations)
        assert len(text) < BYTES_MAX, len(text)
        if not arguments.check:
            path.write_bytes(text)
            print(f"{path}: {len(conversations)} conversations, {len(text)} bytes")
        elif not path.is_file() or path.read_bytes() != text:
            print(f"{path} is not what this script makes; run it without --check", file=sys.stderr)
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
