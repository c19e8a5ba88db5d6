"""Categories (reference 6.7), and how they show inside channels and livestreams."""

from typing import Final

from interpreters.sandbox.reading import as_number, comma_list, limit, page_of, single, single_number
from interpreters.sandbox.wire import INVALID, NOT_FOUND, Incoming, Refusal, Step, ok, ok_page
from interpreters.sandbox.world import Category, World

DEFAULT_PAGE: Final = 25
LARGEST_PAGE: Final = 1000
PAGE_V1: Final = 100
"""Categories on a page of v1, where nobody can choose."""


def get_categories(call: Incoming) -> Step:
    """GET /public/v2/categories: by `name`, `tag` and `id`, each comma separated; in the order of ids.

    A category is listed when it fits any value of every key given. A name fits where it is found, case aside; that is a
    guess of the reference.
    """
    request = call.request
    names, tags = (_search_terms(comma_list(request, key)) for key in ("name", "tag"))
    ids = frozenset(as_number(text) for text in comma_list(request, "id"))
    cursor = single(request, "cursor")
    if cursor is not None and not 4 <= len(cursor) <= 28:
        raise Refusal(INVALID)
    found = [
        category
        for _, category in sorted(call.world.categories.items())
        if (not ids or category.id in ids)
        and (not names or any(name in category.name.lower() for name in names))
        and (not tags or any(tag == held.lower() for tag in tags for held in category.tags or ()))
    ]
    page, after = page_of(request, found, limit(request, DEFAULT_PAGE, LARGEST_PAGE))
    return Step(call.world, ok_page([_shown(category) for category in page], after))


def get_categories_v1(call: Incoming) -> Step:
    """GET /public/v1/categories, deprecated: those with `q` in their names, case aside. Past the last page is []."""
    query, page = single(call.request, "q"), single_number(call.request, "page") or 1
    if not query:
        raise Refusal(INVALID)
    fitting = [held.id for _, held in sorted(call.world.categories.items()) if query.lower() in held.name.lower()]
    ids = fitting[(page - 1) * PAGE_V1 : page * PAGE_V1]
    return Step(call.world, ok([category_within(call.world, category_id) for category_id in ids]))


def get_category(call: Incoming) -> Step:
    """GET /public/v1/categories/{category_id}, deprecated: with the viewers of all who are live in it."""
    category = call.world.categories.get(as_number(call.parts[0]))
    if category is None:
        raise Refusal(NOT_FOUND)
    channels = call.world.channels.values()
    viewers = sum(held.stream.viewer_count for held in channels if held.stream and held.category_id == category.id)
    return Step(call.world, ok({**_shown(category), "viewer_count": viewers}))


def _search_terms(texts: tuple[str, ...]) -> tuple[str, ...]:
    if any(not 3 <= len(text) <= 100 for text in texts):
        raise Refusal(INVALID)
    return tuple(text.lower() for text in texts)


def _shown(category: Category) -> dict[str, object]:
    return {
        "id": category.id,
        "name": category.name,
        "tags": category.tags,
        "thumbnail": category.thumbnail,
    }


def category_within(world: World, category_id: int | None) -> dict[str, object]:
    """A category as part of a channel or livestream: id 0 and empty texts where there is none."""
    category = None if category_id is None else world.categories.get(category_id)
    if category is None:
        return {"id": 0, "name": "", "thumbnail": ""}
    return {"id": category.id, "name": category.name, "thumbnail": category.thumbnail}
