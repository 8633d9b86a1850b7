"""OpenAI's embeddings."""

import openai.types

from validator.strict import fields, need, typed


def whole(body, is_base64):
    fields(body, "embeddings", "object data model usage")
    fields(body["usage"], "usage", "prompt_tokens total_tokens")
    need(body["object"] == "list", "object is not list")
    for place, item in enumerate(body["data"]):
        fields(item, "embedding", "object index embedding")
        need(item["index"] == place and item["object"] == "embedding", "an embedding is out of place")
        need(isinstance(item["embedding"], str if is_base64 else list), "an embedding has the wrong form")
    if not is_base64:
        typed(body, openai.types.CreateEmbeddingResponse, "embeddings")
