"""The page that a person at an office sees."""

from __future__ import annotations

import dataclasses
import html

from kumiai_application.config import Config, Member
from kumiai_application.store import Visit

_STYLE = """
:root { color-scheme: light; --ink: #1c2733; --soft: #5b6b7b; --line: #d8dfe6; --accent: #0b5fa5; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f8; color: var(--ink); line-height: 1.7;
       font-family: "Hiragino Sans", "Noto Sans CJK JP", "Noto Sans JP", "Yu Gothic", Meiryo, sans-serif; }
header { background: var(--accent); color: #fff; padding: 1.2rem 1.5rem; }
header h1 { margin: 0; font-size: 1.4rem; }
header p { margin: 0; opacity: .9; }
main { max-width: 56rem; margin: 1.5rem auto; padding: 0 1.5rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: .5rem; padding: 1rem 1.25rem;
          margin-bottom: 1.25rem; }
h2 { font-size: 1.05rem; margin: 0 0 .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; }
.count { font-size: 2rem; font-weight: 700; color: var(--accent); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.note { overflow-wrap: anywhere; }
form { display: flex; flex-wrap: wrap; gap: .6rem; }
label { flex: 1 1 100%; color: var(--soft); }
input { flex: 1 1 18rem; padding: .5rem .7rem; font: inherit; border: 1px solid var(--soft); border-radius: .35rem; }
button { padding: .5rem 1.4rem; font: inherit; color: #fff; background: var(--accent); border: 0;
         border-radius: .35rem; }
:focus-visible { outline: 3px solid #f2b134; outline-offset: 2px; }
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that the page shows."""

    config: Config
    member: Member
    database_node: str
    client: str
    count: int
    visits: list[Visit]


def render(view: View) -> str:
    """Return the page as HTML."""
    title = html.escape(view.config.title)
    rows = "".join(
        f"<tr><td>{visit.id}</td><td>{html.escape(visit.at[:19])}</td><td>{html.escape(visit.client)}</td>"
        f'<td>{html.escape(visit.node)}</td><td class="note">{html.escape(visit.note)}</td></tr>'
        for visit in view.visits
    )
    return _document(
        title,
        html.escape(view.member.name),
        f"""<section><h2>この画面を返した装置</h2><dl>
<dt>業務</dt><dd>{title}（{html.escape(view.config.service)}）</dd>
<dt>団体</dt><dd>{html.escape(view.member.name)}</dd>
<dt>応答した業務サーバ</dt><dd>{html.escape(view.config.node)}</dd>
<dt>データベースサーバ</dt>
<dd>{html.escape(view.database_node)}（データベース {html.escape(view.member.database.name)}）</dd>
<dt>あなたの端末</dt><dd>{html.escape(view.client)}</dd>
</dl></section>
<section><h2>アクセス件数</h2><p class="count">{view.count} 件</p></section>
<section><h2>書き込み</h2><form method="post" action="/">
<label for="note">一言（200字まで）。{html.escape(view.member.name)}のデータベースにだけ書き込まれます。</label>
<input id="note" name="note" maxlength="200" required autocomplete="off"><button>書き込む</button></form></section>
<section><h2>最近の記録</h2><div class="scroll"><table>
<thead><tr><th>番号</th><th>日時</th><th>端末</th><th>業務サーバ</th><th>内容</th></tr></thead>
<tbody>{rows}</tbody></table></div></section>""",
    )


def refusal(config: Config, heading: str, text: str) -> str:
    """Return the page of a request that is not served."""
    return _document(
        html.escape(config.title), "", f"<section><h2>{html.escape(heading)}</h2><p>{html.escape(text)}</p></section>"
    )


def _document(title: str, member: str, body: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="ja"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}{" － " + member if member else ""}</title><style>{_STYLE}</style></head>
<body><header><h1>{title}</h1><p>{member}</p></header><main>
{body}
</main></body></html>
"""
