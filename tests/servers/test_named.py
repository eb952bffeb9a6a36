"""The whole main job through real processes, with input like real lists, ending at a real `named`."""

from pathlib import Path

import pytest
import real_names
from kit.forked import run_forked


def rough_names(folder: Path) -> Path:
    """A file such as people have: plain names, hosts, an IDN, an underscore, and lines that are no names."""
    lines = [f"site{number:04d}.example" for number in range(300)]
    lines += [f"www{number}.shop{number}.test" for number in range(100)]
    lines += ["bücher.example", "a_b.site-with-underscore.test", "a_b.test", "", "# a comment", "192.0.2.7"]
    lines += ["https://site.example/page", "com", "github.io", "google.com", "www.site0001.example", "exa mple.test"]
    path = folder / "names.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_import_to_resolver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_names.subprocess, "run", run_forked)
    run = real_names.Run(tmp_path)
    register = run.office()
    count, refused = run.curate(rough_names(tmp_path))
    assert count == 403
    assert {entry["name"] for entry in refused} == {
        "192.0.2.7",
        "https://site.example/page",
        "com",
        "github.io",
        "google.com",
        "www.site0001.example",
        "exa mple.test",
    }
    zone = run.provider()
    owners = real_names.listed_owners(zone)
    assert len(owners) == 401  # names with an underscore have no address records, or BIND would refuse the zone
    with real_names.named(tmp_path / "named", zone) as ask:
        real_names.check_answers(ask, real_names.sample(owners, 40))
        assert ask("a.b.site0001.example", "A") == [real_names.LANDING["A"]]
        assert ask("SITE0002.Example", "AAAA") == [real_names.LANDING["AAAA"]]
        assert ask("xn--bcher-kva.example", "A") == [real_names.LANDING["A"]]
        assert ask("www1.shop1.test", "A") == [real_names.LANDING["A"]]
        for elsewhere in ("shop1.test", "below.www1.shop1.test", "notsite0001.example", "site0001.example.other.test"):
            assert ask(elsewhere, "A") == [real_names.ELSEWHERE["A"]]
        for blocked in ("a_b.test", "x.a_b.test", "a_b.site-with-underscore.test"):
            assert ask(blocked, "A") == []
        assert ask("site-with-underscore.test", "A") == [real_names.ELSEWHERE["A"]]
    audited = run.blocklist("audit")
    assert (audited["faults"], audited["register"]) == ([], register)
