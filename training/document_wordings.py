"""How one asks for each thing that a document says, and how a whole sentence answers.

{0} and {1} are the names of the thing, {value} what is right. The evaluation asks in these wordings
alone; the last of each task is its own, the others are a third of training's (`phrasing.py`).
"""

from __future__ import annotations

from .drawing.types import Task

WORDINGS: dict[Task, tuple[str, ...]] = {
    "total": (
        "What is the total?", "How much is it in total?", "What is the total amount?",
        "How much has to be paid?", "Total?", "Tell me the final amount.", "What does it all cost?",
        "How high is the bill?",
    ),
    "date": (
        "What is the date?", "Which date is on it?", "When was this written?", "Date?",
        "Tell me the date.", "What date does it carry?",
    ),
    "who": (
        "Who is it from?", "Who sent this?", "Who issued this?", "Tell me the sender.",
        "Who wrote this?", "From whom does it come?",
    ),
    "to": (
        "Who is it for?", "Who is it addressed to?", "To whom was this sent?",
        "Tell me who receives it.", "Who is the recipient?",
    ),
    "heading": (
        "What is the heading?", "What is the title?", "Read the heading.",
        "Which title does it have?", "What stands at the top as its title?",
    ),
    "price": (
        "What is the price?", "How much is it?", "How much does it cost?", "Price?",
        "Tell me the price.", "What must I pay for it?",
    ),
    "product": (
        "What is the product?", "What is being sold?", "Which product is this?", "Product?",
        "Name the product.", "What can one buy here?",
    ),
    "key": (
        "What is the {0}?", "{0}?", "Tell me the {0}.", "What does it say for {0}?",
        "Which value does {0} have?", "Give me the {0}.", "What is written beside {0}?",
        "Please look up the {0}.",
    ),
    "item": (
        "How much is the {0}?", "What does {0} cost?", "What is the amount for {0}?",
        "Price of {0}?", "How much was paid for {0}?", "What came the {0} to?",
    ),
    "cell": (
        "What is the {1} of {0}?", "What stands under {1} for {0}?", "{0}: which {1}?",
        "In the row {0}, what is the {1}?", "Tell me the {1} of {0}.",
        "Which {1} does the table give for {0}?",
    ),
    "row": (
        "Which row has {0} under {1}?", "Whose {1} is {0}?", "Which one has the {1} {0}?",
        "Where is the {1} {0}?", "Which entry shows {0} as its {1}?",
    ),
    "count": (
        "How many {0} are there?", "Count the {0}.", "How many {0} are listed?",
        "Tell me the number of {0}.", "How many {0} do you see?",
    ),
    "bar": (
        "What is the value of {0}?", "How high is {0}?", "Which number belongs to {0}?",
        "How many for {0}?", "Read the bar of {0}.",
    ),
    "highest": (
        "Which bar is the highest?", "What has the highest value?", "Which one is the largest?",
        "Where is the maximum?", "Which bar is longest?",
    ),
    "lowest": (
        "Which bar is the lowest?", "What has the smallest value?", "Which one is the smallest?",
        "Where is the minimum?", "Which bar is shortest?",
    ),
    "switch": (
        "Is {0} on?", "Is {0} switched on?", "Is {0} enabled?", "Has {0} been chosen?",
        "Is {0} active?",
    ),
    "command": (
        "Which command was run?", "What was typed?", "Which command is it?", "Read the command.",
        "What did the user enter?",
    ),
    "line": (
        "Read line {0}.", "What does line {0} say?", "What is in line {0}?", "Line {0}?",
        "Tell me the text of line {0}.",
    ),
    "read": (
        "Read the text.", "What does it say?", "Read everything.", "Transcribe the page.",
        "What is written here?", "Type out the whole text.",
    ),
    "there": (
        'Is there a "{0}"?', 'Does it say "{0}" anywhere?', 'Is "{0}" printed here?',
        'Can you see "{0}"?', 'Does "{0}" appear on it?',
    ),
    "dearer": (
        "Which one is dearer?", "Which one costs more?", "Which is more expensive?",
        "Which picture shows the higher amount?", "Where do I pay more?",
    ),
    "cheaper": (
        "Which one is cheaper?", "Which one costs less?", "Which is less expensive?",
        "Which picture shows the lower amount?", "Where do I pay less?",
    ),
    "call": (
        "Save the {0}.", "Please store the {0}.", "Call {1} with the {0}.", "Use {1} for the {0}.",
        "Hand the {0} to {1}.",
    ),
}  # fmt: skip

SENTENCES: dict[Task, str] = {
    "total": "The total is {value}.",
    "date": "The date is {value}.",
    "who": "It is from {value}.",
    "to": "It is for {value}.",
    "heading": "The heading is {value}.",
    "price": "The price is {value}.",
    "product": "The product is {value}.",
    "key": "The {0} is {value}.",
    "item": "The {0} costs {value}.",
    "cell": "The {1} of {0} is {value}.",
    "row": "It is {value}.",
    "count": "There are {value} {0}.",
    "bar": "The value of {0} is {value}.",
    "highest": "The highest is {value}.",
    "lowest": "The lowest is {value}.",
    "command": "The command is {value}.",
    "dearer": "The {value} one is dearer.",
    "cheaper": "The {value} one is cheaper.",
}
SENTENCE_WISHES = (
    "Answer in a sentence.", "Use a whole sentence.", "Reply with a full sentence.",
)  # fmt: skip
TOOL_NAMES = ("save_value", "store", "write_cell", "fill_in", "send_value", "remember", "set_field")
