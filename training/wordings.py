"""How one asks about receipts, labels and lines, and what is said without a picture.

The evaluation asks in these wordings alone, training in many more (`phrasing.py`, MORE_CHAT).
"""

from __future__ import annotations

from .drawing.types import Task

ABSENT_ANSWER = "I cannot find that in the picture."

WORDINGS: dict[Task, tuple[str, ...]] = {
    "total": (
        "What is the total?",
        "How much is the total?",
        "What is the total amount?",
        "How much does it cost in total?",
        "What do I have to pay?",
        "What is the amount due?",
        "How much is it altogether?",
        "Tell me the total.",
        "Total?",
        "What was the total of this receipt?",
    ),
    "date": (
        "What is the date?",
        "What date is printed here?",
        "When was this?",
        "Which date is on it?",
        "What day is it from?",
        "Tell me the date.",
        "Date?",
        "When was this printed?",
    ),
    "who": (
        "Who is it from?",
        "Which shop is this from?",
        "What is the name of the shop?",
        "Who sold this?",
        "Which store is it?",
        "Where was this bought?",
        "Tell me the shop's name.",
        "Who issued this?",
    ),
    "read": (
        "Read the text.",
        "What does it say?",
        "Read this.",
        "What is written here?",
        "Please read the text in the picture.",
        "Read it to me.",
        "What text is in the picture?",
        "Transcribe the picture.",
    ),
    "price": (
        "What is the price?",
        "How much is it?",
        "How much does it cost?",
        "What does this cost?",
        "Tell me the price.",
        "Price?",
        "Which price is on the label?",
    ),
    "product": (
        "What is the product?",
        "What is being sold?",
        "Which product is this?",
        "What is the label for?",
        "What is it?",
        "Tell me the product's name.",
        "Product?",
    ),
    "item": (
        "How much is the {0}?",
        "What does {0} cost?",
        "What is the amount for {0}?",
        "How much was paid for {0}?",
        "Price of {0}?",
        "Tell me the amount of {0}.",
    ),
}

CHAT: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("Hello!", "Hi", "Hi there!", "Hello there", "Good morning", "Good evening!", "Hey"),
        "Hello! Show me a receipt, a price label or a printed line, and ask about it.",
    ),
    (
        (
            "Who are you?",
            "What are you?",
            "What is your name?",
            "Which model are you?",
            "Tell me about yourself.",
            "Are you a person?",
        ),
        "I am cortex-nano, a small model that reads short printed documents.",
    ),
    (
        (
            "What can you do?",
            "How can you help me?",
            "What are you good at?",
            "Help",
            "What can I ask you?",
            "What do you do?",
        ),
        "I read receipts, price labels and printed lines: totals, dates, names, prices, text.",
    ),
    (
        ("Thanks!", "Thank you", "Thank you very much!", "Great, thanks.", "Many thanks", "Thx"),
        "You are welcome.",
    ),
    (
        ("Goodbye", "Bye!", "See you", "See you later.", "Good night", "Farewell!"),
        "Goodbye.",
    ),
    (
        (
            "What is the capital of France?",
            "Write a poem.",
            "Tell me a joke.",
            "What is two plus two?",
            "Who won the game?",
            "Write a program for me.",
            "What is the weather like?",
            "Explain gravity.",
            "Translate this into German.",
        ),
        "I only read short printed documents. I am no general assistant.",
    ),
    (
        WORDINGS["total"] + WORDINGS["date"] + WORDINGS["who"] + WORDINGS["read"],
        "I see no picture. Send me one and ask again.",
    ),
)

# What training says beside the questions of CHAT, in its order; the last are whole phrases.
MORE_CHAT: tuple[tuple[str, ...], ...] = (
    (
        "Hello", "Hi!", "Hey there", "Good afternoon", "Good day!", "Hi, how are you?", "Morning!",
        "Hello, is anybody there?", "Greetings", "Hey!", "Hello again", "Good evening to you",
    ),
    (
        "What's your name?", "Who am I talking to?", "What should I call you?", "Are you a robot?",
        "Tell me who you are.", "What kind of model are you?", "Introduce yourself.",
        "Can you tell me your name?", "What is cortex-nano?", "Are you human?", "Who is this?",
        "Say who you are.", "What sort of thing are you?",
    ),
    (
        "What are you able to do?", "What are you for?", "What can you read?", "How do you work?",
        "What is your purpose?", "Can you help me?", "How can I use you?", "I need help.",
        "What may I ask?", "Tell me what you can do.", "What do you know?",
        "Show me what you can do.",
    ),
    (
        "Thanks a lot!", "Thank you so much.", "That was helpful.", "Perfect, thank you.",
        "Cheers!", "Very kind of you.", "Thanks for your help.", "Good job, thanks!",
        "I thank you.", "ty", "That is all, thank you.", "Wonderful, thanks",
    ),
    (
        "Bye bye", "So long!", "Until next time.", "Have a nice day!", "I have to go now.", "Ciao",
        "See you tomorrow.", "Bye for now.", "That is all for today, bye.", "Good bye!",
        "Take care.",
    ),
    (
        "What is the capital of Spain?", "Write a story about a cat.", "Sing a song.",
        "What is seven times eight?", "Who is the president?", "Fix this code.", "What time is it?",
        "How do I bake bread?", "Who wrote Hamlet?", "Give me a recipe for soup.",
        "Tell me a story.", "How far away is the moon?", "What should I read next?",
        "Translate hello into French.", "Recommend a film.", "Why is the sky blue?",
        "Do my homework.", "Explain how a plane flies.", "How old is the earth?", "What is love?",
        "Plan a trip to Rome.", "Solve x + 3 = 5.",
    ),
    (),
)  # fmt: skip
