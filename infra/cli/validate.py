"""``kumiai validate``."""

from __future__ import annotations

from infra.cli import common


def command(stack: common.StackArgument, as_of: common.AsOfOption = None, as_json: common.JsonFlag = False) -> None:
    """Check a stack file, and say every error with its line and column.

    Example: kumiai validate nishiki
    """
    import datetime

    from infra.declaration import links as links_file
    from infra.declaration import queries
    from infra.declaration.load import load_located
    from network.clock import JST
    from network.errors import OperationError

    path = common.stack_file(stack)
    day = common.as_of_date(as_of)
    loaded = load_located(path)
    declaration = loaded.declaration
    expired = [
        (loaded.locate(("flows", index)), f"{flow.from_} → {flow.to} expired on {flow.expires}")
        for index, flow in queries.expired_flows(declaration, day)
    ]
    links = links_file.load(path, declaration)
    lines = [f"{path}:{place[0]}:{place[1]}: {message}" for place, message in expired]
    now = datetime.datetime.now(tz=JST)
    lines += [str(links.finding(index, links.overdue_words(link))) for index, link in links.overdue(now)]
    if as_json:
        common.print_json({"format": 1, "file": str(path), "as_of": day.isoformat(), "expired": lines})
    else:
        common.out.print(
            f"{path}: {declaration.group.title}: {len(declaration.members)} members, "
            f"{len(declaration.services)} services, {len(declaration.lines)} lines: no errors",
            markup=False,
        )
    if lines:
        raise OperationError("\n".join(lines))
