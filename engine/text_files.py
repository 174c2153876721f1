"""Which files of a model's folder an answer depends on, beside its weights.

Free to import: a peer names weights by them, the text process notices when they change.
"""

from __future__ import annotations

TEXT_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "modules.json",
    "1_Pooling/config.json",
)
