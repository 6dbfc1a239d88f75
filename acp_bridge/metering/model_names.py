"""How users name models: by the id, or by a pattern with stars."""


def is_model(pattern: str, model: str) -> bool:
    """Whether a model's id meets a pattern; ``*`` is any text, and the case does not matter."""
    name = model.lower()
    begins, *rest = pattern.lower().split("*")
    if not rest:
        return name == begins
    *middle, ends = rest
    if not name.startswith(begins):
        return False
    at = len(begins)
    for part in middle:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return name.endswith(ends) and len(name) - len(ends) >= at
