"""The reference application: whose request it is, what it answers, and what it writes, on a real PostgreSQL."""

# mypy: disable-error-code="import-not-found"
# The application is typed for its own machine and imported from the role's files.

from __future__ import annotations

import contextlib
import dataclasses
import io
import ipaddress
import json
import pathlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import database_roles
import psycopg2
import pytest
from kumiai_application import config, health, journal, members, store, web

from infra.configure import application, database, files
from infra.configure.node_secrets import node_secrets
from infra.plan.model import Plan
from infra.secrets.model import Secrets
from tests.configure.conftest import plan, secrets  # noqa: F401 - fixtures
from tests.roles import postgresql

OFFICE_1, OFFICE_2, STRANGER = "10.1.0.7", "10.2.0.7", "192.168.5.5"
ACCESS = "local all postgres trust\nlocal all all scram-sha-256\n"


@pytest.fixture(scope="module")
def socket_directory() -> Iterator[pathlib.Path]:
    with postgresql.server(ACCESS) as directory:
        yield directory


@pytest.fixture(scope="module")
def settings(
    socket_directory: pathlib.Path,
    plan: Plan,  # noqa: F811
    secrets: Secrets,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    return settings_of(plan, secrets, socket_directory, tmp_path_factory.mktemp("application"))


def settings_of(
    plan: Plan,  # noqa: F811
    secrets: Secrets,  # noqa: F811
    socket_directory: pathlib.Path,
    folder: pathlib.Path,
) -> Any:
    """Return the configuration that juki-ap1 gets, its databases on the test's server, made by the role's program."""
    roles = node_secrets(plan, secrets, "juki-db1")["database_roles"]
    (folder / "roles.json").write_text(json.dumps(roles))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGHOST", str(socket_directory))
        patch.setenv("PGUSER", "postgres")
        patch.setattr("sys.argv", ["database_roles.py", str(folder / "roles.json")])
        database_roles.main()
        database_roles.main()  # a second run finds everything in place
    rendered = json.loads(files.render_node(plan, "juki-ap1")["/etc/kumiai/application/juki.json"])
    for member in rendered["members"]:
        member["database"]["host"] = str(socket_directory)
    (folder / "juki.json").write_text(json.dumps(rendered))
    juki = next(e for e in plan.network.endpoints if e.name == "juki")
    passwords = node_secrets(plan, secrets, "juki-ap1")["application_password_files"][application.password_path(juki)]  # type: ignore[index]
    (folder / "passwords").write_text(passwords)
    return config.load(folder / "juki.json", folder / "passwords")


@pytest.fixture
def app(settings: Any) -> Any:
    return serving(settings, journal.Journal("test", pathlib.Path("/nonexistent")))


def serving(settings: Any, log: Any) -> Any:
    visits = store.Store(settings)
    asking = health.Health(visits.check)
    asking.ask()
    return web.Application(settings, visits, log, asking)


def proxy(settings: Any) -> str:
    return str(min(settings.proxies))


def request(
    app: Any, method: str, path: str, peer: str, forwarded: str | None = None, *, body: bytes = b"", **environ: str
) -> tuple[int, dict[str, str], str]:
    """Return status, headers and text of one request that reaches the application from ``peer``."""
    answer: dict[str, Any] = {}
    path, _, query = path.partition("?")
    environment: dict[str, Any] = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_ADDR": peer,
        "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), **environ,
    }  # fmt: skip
    if forwarded is not None:
        environment["HTTP_X_FORWARDED_FOR"] = forwarded
    chunks = app(environment, lambda status, headers: answer.update(status=status, headers=dict(headers)))
    return int(answer["status"].split()[0]), answer["headers"], b"".join(chunks).decode()


def post(app: Any, settings: Any, client: str, **data: Any) -> tuple[int, dict[str, Any]]:
    status, _, text = request(
        app,
        "POST",
        "/api/visits",
        proxy(settings),
        client,
        body=json.dumps(data).encode(),
        CONTENT_TYPE="application/json",
    )
    return status, json.loads(text)


@pytest.mark.parametrize(
    ("forwarded", "member"),
    [
        (OFFICE_1, "m1"),
        (OFFICE_2, "m2"),
        (STRANGER, None),
        (f"{OFFICE_1}, {OFFICE_2}", "m2"),
        (f"{OFFICE_1},{STRANGER}", None),
        ("", None),
        (None, None),
        ("10.1.0.7.8", None),
        ("::ffff:10.1.0.7", None),
    ],
)
def test_behind_the_load_balancer_the_last_entry_decides(
    settings: Any, forwarded: str | None, member: str | None
) -> None:
    address = members.client_address(settings, proxy(settings), forwarded)
    found = members.member_of(settings, address)
    assert (found and found.id) == member


@pytest.mark.parametrize("peer", [OFFICE_2, STRANGER, "127.0.0.1"])
def test_a_client_that_writes_the_header_itself_is_not_believed(settings: Any, app: Any, peer: str) -> None:
    address = members.client_address(settings, peer, OFFICE_1)
    assert address == ipaddress.IPv4Address(peer)
    status, _, text = request(app, "GET", "/", peer, OFFICE_1)
    if peer == OFFICE_2:
        assert "第2町" in text
        assert "第1町" not in text
    else:
        assert status == 403


def test_the_longest_prefix_decides(settings: Any) -> None:
    inner = dataclasses.replace(settings.members[1], prefixes=(ipaddress.IPv4Network("10.1.0.0/28"),))
    both = dataclasses.replace(settings, members=(settings.members[0], inner))
    assert members.member_of(both, ipaddress.IPv4Address("10.1.0.7")).id == inner.id
    assert members.member_of(both, ipaddress.IPv4Address("10.1.0.77")).id == "m1"


def test_the_page_shows_member_nodes_and_count_and_writes_a_visit(app: Any, settings: Any) -> None:
    before = store.Store(settings).count(settings.members[0])
    status, headers, text = request(app, "GET", "/", proxy(settings), OFFICE_1)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    for shown in ("第1町", "juki-ap1", "juki_m1", OFFICE_1, f"{before + 1} 件"):
        assert shown in text
    assert store.Store(settings).count(settings.members[0]) == before + 1


def test_a_form_is_written_and_read_back_as_text(app: Any, settings: Any) -> None:
    body = b"note=%3Cscript%3Ealert(1)%3C%2Fscript%3E%E7%94%BA"
    status, headers, _ = request(app, "POST", "/", proxy(settings), OFFICE_1, body=body)
    assert (status, headers["Location"]) == (303, "/")
    _, _, text = request(app, "GET", "/", proxy(settings), OFFICE_1)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;町" in text
    assert "<script>" not in text


def test_a_form_of_another_site_is_refused(app: Any, settings: Any) -> None:
    before = store.Store(settings).count(settings.members[0])
    status, _, _ = request(
        app, "POST", "/", proxy(settings), OFFICE_1, body=b"note=a", HTTP_SEC_FETCH_SITE="cross-site"
    )
    assert status == 403
    assert store.Store(settings).count(settings.members[0]) == before


def test_numbered_writes_are_kept_once(app: Any, settings: Any) -> None:
    first = post(app, settings, OFFICE_1, note="a", run="drill-1", number=1)
    again = post(app, settings, OFFICE_1, note="a", run="drill-1", number=1)
    other = post(app, settings, OFFICE_1, note="a", run="drill-1", number=2)
    assert [first[0], again[0], other[0]] == [201, 201, 201]
    assert first[1]["id"] == again[1]["id"] != other[1]["id"]
    _, _, text = request(app, "GET", "/api/visits?run=drill-1", proxy(settings), OFFICE_1)
    assert json.loads(text)["numbers"] == [1, 2]


def test_members_do_not_see_each_others_visits(app: Any, settings: Any) -> None:
    post(app, settings, OFFICE_1, note="only of m1", run="separate", number=1)
    _, _, text = request(app, "GET", "/api/visits?run=separate", proxy(settings), OFFICE_2)
    assert json.loads(text)["numbers"] == []
    _, _, text = request(app, "GET", "/", proxy(settings), OFFICE_2)
    assert "only of m1" not in text


def test_members_share_a_common_database_and_do_not_see_each_others_visits(
    plan: Plan,  # noqa: F811
    secrets: Secrets,  # noqa: F811
    socket_directory: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    ends = [dataclasses.replace(e, common_data=e.name == "juki") for e in plan.network.endpoints]
    common = dataclasses.replace(plan, network=dataclasses.replace(plan.network, endpoints=tuple(ends)))
    passwords = {**secrets.passwords, "database/juki": "the one of all"}
    settings = settings_of(common, dataclasses.replace(secrets, passwords=passwords), socket_directory, tmp_path)
    assert [member.database.name for member in settings.members] == ["juki", "juki"]
    app = serving(settings, journal.Journal("test", pathlib.Path("/nonexistent")))
    post(app, settings, OFFICE_1, note="only of m1", run="common", number=1)
    post(app, settings, OFFICE_2, note="only of m2", run="common", number=1)
    post(app, settings, OFFICE_2, note="only of m2", run="common", number=2)
    for office, own, other, numbers in ((OFFICE_1, "m1", "m2", [1]), (OFFICE_2, "m2", "m1", [1, 2])):
        _, _, text = request(app, "GET", "/api/visits?run=common", proxy(settings), office)
        assert json.loads(text)["numbers"] == numbers
        _, _, text = request(app, "GET", "/", proxy(settings), office)
        assert f"only of {own}" in text
        assert f"only of {other}" not in text
        assert f"{len(numbers) + 1} 件" in text, "its own numbered visits and that of opening the page"
    hba = files.render_node(common, "juki-db1")["/etc/kumiai/database/pg_hba.conf"]
    assert hba.count('host "juki" "juki" ') == len(ends[0].application) == 2


def test_one_members_role_cannot_enter_another_members_database(settings: Any) -> None:
    one, two = settings.members
    with pytest.raises(psycopg2.OperationalError, match='permission denied for database "juki_m2"'):
        psycopg2.connect(
            host=two.database.host, dbname=two.database.name, user=one.database.user, password=one.database.password
        )
    with pytest.raises(psycopg2.OperationalError, match='permission denied for database "postgres"'):
        psycopg2.connect(
            host=one.database.host, dbname="postgres", user=one.database.user, password=one.database.password
        )


def test_the_verifier_admits_the_password_and_no_other(settings: Any) -> None:
    one = settings.members[0].database
    with psycopg2.connect(host=one.host, dbname=one.name, user=one.user, password=one.password) as connection:
        assert connection.info.user == "juki_m1"
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(host=one.host, dbname=one.name, user=one.user, password=one.password + "x")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400),
        (b"{", 400),
        (b'{"note": 1}', 400),
        (b'{"note": "a", "run": "r"}', 400),
        (b'{"note": "a", "run": "r", "number": "1"}', 400),
        (b'{"note": "a", "run": "r", "number": true}', 400),
        (b'{"note": "a", "run": "r", "number": -1}', 400),
        (b'{"note": "a\\u0000"}', 400),
        (b"\xff", 400),
        (json.dumps({"note": "x" * 201}).encode(), 400),
        (b"x" * (web.MAX_BODY + 1), 413),
    ],
)
def test_what_is_no_visit_is_refused(app: Any, settings: Any, body: bytes, status: int) -> None:
    arguments = (app, "POST", "/api/visits", proxy(settings), OFFICE_1)
    assert request(*arguments, body=body, CONTENT_TYPE="application/json")[0] == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("DELETE", "/", 405), ("POST", "/api/visits", 415), ("HEAD", "/", 200)],
)
def test_other_requests(app: Any, settings: Any, method: str, path: str, status: int) -> None:
    found, _, text = request(app, method, path, proxy(settings), OFFICE_1)
    assert found == status
    assert (text == "") is (method == "HEAD")


def test_health_needs_no_member_and_follows_the_database(app: Any, settings: Any) -> None:
    assert request(app, "GET", "/health", proxy(settings))[0] == 200
    lost = dataclasses.replace(settings.members[0].database, host="/nonexistent")
    broken = dataclasses.replace(settings, members=(dataclasses.replace(settings.members[0], database=lost),))
    without = serving(broken, journal.Journal("test", pathlib.Path("/nonexistent")))
    status, _, text = request(without, "GET", "/health", proxy(settings))
    assert status == 503
    assert "juki_m1 on /nonexistent" in text
    assert settings.members[0].database.password not in text
    status, _, text = request(without, "GET", "/", proxy(settings), OFFICE_1)
    assert status == 503
    assert "データベースが応答しません" in text


def test_health_without_a_fresh_answer_is_no_health() -> None:
    now = [100.0]
    asking = health.Health(lambda: None, clock=lambda: now[0])
    assert asking.trouble() == "not asked yet"
    asking.ask()
    assert asking.trouble() is None
    now[0] += health.STALE_S + 1
    assert asking.trouble() == "no answer for 16 s"


def test_a_connection_that_the_server_ended_is_renewed_without_an_error(
    app: Any, settings: Any, socket_directory: pathlib.Path
) -> None:
    end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'juki_m1'"
    superuser = psycopg2.connect(host=str(socket_directory), user="postgres", dbname="postgres")
    with contextlib.closing(superuser), superuser.cursor() as cursor:
        for number in (1, 2):
            assert post(app, settings, OFFICE_1, note="a", run="broken", number=number)[0] == 201
            assert request(app, "GET", "/", proxy(settings), OFFICE_1)[0] == 200
            cursor.execute(end)
            ended = cursor.fetchone()
            assert ended is not None
            assert ended[0] > 0
    assert request(app, "GET", "/", proxy(settings), OFFICE_1)[0] == 200


def test_two_nodes_that_start_together_make_one_table(settings: Any, socket_directory: pathlib.Path) -> None:
    member = settings.members[1]
    with (
        psycopg2.connect(
            host=str(socket_directory),
            user=member.database.user,
            password=member.database.password,
            dbname=member.database.name,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("DROP TABLE IF EXISTS visits")
    errors: list[BaseException] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        try:
            store.Store(settings).count(member)
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []


def test_activity_goes_to_the_journal_with_fields_and_without_contents(settings: Any, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(5)
        with contextlib.closing(journal.Journal("kumiai-application-juki", path)) as log:
            app = serving(settings, log)
            post(app, settings, OFFICE_1, note="personal", run="journal", number=1)
        fields = dict(line.split(b"=", 1) for line in receiver.recv(65536).splitlines())
    assert fields[b"KUMIAI_MEMBER"] == b"m1"
    assert fields[b"KUMIAI_CLIENT"] == OFFICE_1.encode()
    assert fields[b"KUMIAI_STATUS"] == b"201"
    assert fields[b"SYSLOG_IDENTIFIER"] == b"kumiai-application-juki"
    assert b"personal" not in b"".join(fields.values())


def test_a_path_cannot_forge_a_field_of_the_journal() -> None:
    record = journal._field("KUMIAI_PATH", "/a\nKUMIAI_MEMBER=m2")
    assert record.startswith(b"KUMIAI_PATH\n")
    assert record[12:20] == len(b"/a\nKUMIAI_MEMBER=m2").to_bytes(8, "little")


def test_names_of_databases_fit_postgresql(plan: Plan) -> None:  # noqa: F811
    for endpoint in plan.network.endpoints:
        for member in endpoint.participants:
            assert len(database.name_of(endpoint, member)) <= 63
