"""The command line speaks the user's language, and JSON none."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from kit.fixed import LIST


def blocklist(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if name not in ("LANGUAGE", "LANG") and "LC_" not in name
    }
    return subprocess.run(
        [sys.executable, "-m", "blocklist", *words],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env={**clean, "PYTHONIOENCODING": "utf-8", **variables},
    )


@pytest.mark.parametrize("words", [["--lang", "fr", "verify", "--help"], ["verify", "-h", "--lang=fr"]])
def test_help_is_in_french(words):
    done = blocklist(*words)
    assert done.returncode == 0
    assert "Usage\u00a0:" in done.stdout
    assert "Vérifier une publication téléchargée" in done.stdout
    assert "Afficher cette aide" in done.stdout
    assert "[obligatoire]" in done.stdout


def test_the_list_of_commands_is_in_french_and_whole():
    done = blocklist("--lang", "fr", "--help")
    assert "Fournisseur d'accès:" in done.stdout
    assert "Vérifier une publication téléchargée." in done.stdout
    assert "..." not in done.stdout.partition("\n")[2], "a line was cut"


def test_an_error_and_its_hint_are_in_french(tmp_path):
    done = blocklist("verify", str(tmp_path), "--cert", "seal.pem", "--lang", "fr")
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()
    assert error.startswith("blocklist\u00a0: erreur\u00a0: impossible de lire les sommes de contrôle")
    assert hint == "blocklist\u00a0: conseil\u00a0: donner le répertoire d'une publication"


@pytest.mark.parametrize(
    "words, message",
    [
        (["verify", "--nothing"], "L'option '--nothing' n'existe pas"),
        (["verify", "x"], "Option manquante '--cert'"),
        (["nothing"], "La commande 'nothing' n'existe pas"),
    ],
)
def test_usage_errors_are_in_french(words, message):
    done = blocklist(*words, LC_ALL="fr_FR.UTF-8")
    assert done.returncode == 2
    assert f"blocklist\u00a0: erreur\u00a0: {message}" in done.stderr


def test_what_follows_two_hyphens_is_no_language():
    assert "blocklist: error:" in blocklist("show", "--", "--lang=fr").stderr


def test_an_unknown_language_is_refused():
    done = blocklist("--lang", "de", "verify")
    assert done.returncode == 2
    assert "'de' is not one of 'en', 'fr'" in done.stderr


def test_json_is_the_same_in_both_languages(tmp_path):
    variables = {"BLOCKLIST_KEYS": str(tmp_path / "keys")}
    answers = []
    for language in ("en", "fr"):
        words = ["-C", str(tmp_path / "office"), "--json", "--lang", language]
        assert blocklist(*words, "init", "--list", LIST, "--no-passphrase", **variables).returncode == 0
        answers.append(json.loads(blocklist(*words, "status", **variables).stdout))
    assert answers[0].keys() == answers[1].keys()
