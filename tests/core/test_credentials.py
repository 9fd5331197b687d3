"""Credentials are known by their shape, their name or their place, and what only looks like one stays."""

from __future__ import annotations

import random
import string
import uuid

import pytest

from fleet_rlm.core.credentials import holds_secret, is_secret_name
from fleet_rlm.core.redaction import REDACTED, Redactor

LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
random_ = random.Random(20)


def some(length: int, alphabet: str = LETTERS) -> str:
    return "".join(random_.choice(alphabet) for _ in range(length - 1)) + "7"  # nobody's token is without a digit


PLANTED = {
    "openai": ("sk-proj-" + some(48), "openai key {}"),
    "anthropic": ("sk-ant-api03-" + some(80), "x={}"),
    "daytona": ("dtn_" + some(64, HEX), "DAYTONA_API_KEY={}"),
    "github": ("ghp_" + some(36), "token {} ok"),
    "github fine-grained": ("github_pat_" + some(22) + "_" + some(59), "{}"),
    "aws id": ("AKIA" + some(16, string.ascii_uppercase), "aws_access_key_id = {}"),
    "aws secret": (some(40), "aws_secret_access_key = {}"),
    "jwt": ("eyJhbGciOiJSUzI1NiJ9.eyJ" + some(60) + "." + some(80), "cookie jwt {}"),
    "postgres": ("npg_" + some(16), "postgresql://owner:{}@db.example.com/main"),
    "any url": ("p:ss#w0rd", "see amqp://guest:{}@mq.example.com:5672/v"),
    "slack": ("xoxb-" + some(11, string.digits) + "-" + some(24), "slack {}"),
    "google": ("AIza" + some(35), "key={}"),
    "hugging face": ("hf_" + some(34), "HF {}"),
    "azure": (some(3) + "8Q~" + some(34), "client secret value {}"),
    "pem": ("MIIE" + some(60), "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----"),
    "pem with headers": ("q" + some(60), "-----BEGIN DSA PRIVATE KEY-----\nDEK-Info: AES,1\n\n{}\n"),
    "pem in json": ("MIIE" + some(60), '{{"pem": "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----"}}'),
    "gitlab": ("glpat-" + some(20), "glpat {}"),
    "stripe": ("sk_live_" + some(24), "{}"),
    "groq": ("gsk_" + some(52), "say {}."),
    "npm": ("npm_" + some(36), "//registry.example.com/:_authToken={}"),
    "password": (some(20), "password: {}"),
    "password with punctuation": ("correct-horse-battery", "Password={}"),
    "json": (some(24), '{{"api_key": "{}"}}'),
    "json, short and spaced": ("a b", '{{"db_password":  "{}"}}'),
    "json in json": (some(24), '{{"arguments": "{{\\"client_secret\\": \\"{}\\"}}"}}'),
    "a dict's repr": ("it is 1 secret", "{{'user': 'me', 'password': '{}'}}"),
    "variable": (some(24), "export MY_SECRET='{}'"),
    "assigned in code": (some(24), 'os.environ["SERVICE_API_KEY"] = "{}"'),
    "option": (some(12), "tool --password {} --verbose"),
    "query": (some(24), "GET /v1?page=2&access_token={}"),
    "bearer": (some(40), "Authorization: Bearer {}"),
    "bearer alone": (some(40), "sent Bearer {} to it"),
    "basic": (some(32), "Authorization: Basic {}"),
    "header in json": (some(32), '{{"headers": {{"authorization": "Basic {}"}}}}'),
    "cookie": ("session=" + some(12), "Cookie: {}"),
    "set-cookie": ("id=" + some(12) + "; Path=/", "set-cookie: {}"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_credential_is_hidden(name: str) -> None:
    secret, around = PLANTED[name]
    clean = Redactor(environ={}).text(around.format(secret))
    assert secret not in clean
    assert REDACTED in clean


@pytest.mark.parametrize("name", PLANTED)
def test_what_stands_around_a_credential_stays(name: str) -> None:
    secret, around = PLANTED[name]
    clean = Redactor(environ={}).text(f"before {around.format(secret)} after\nnext line")
    assert clean.startswith("before ")
    assert clean.endswith("\nnext line")


@pytest.mark.parametrize(
    "text",
    [
        "commit 9f1b0bb4320aba1797371a60f19ab07bad938932",
        "run_id=01a1fd38-e600-7a8d-9c27-3e735e8330cd",
        "sha256:" + some(64, HEX),
        '{"sha256": "' + some(64, HEX) + '", "etag": "' + some(32, HEX) + '"}',
        "total_tokens: 12345678, prompt_tokens=12345678",
        "max_tokens=4096",
        '{"tokens_in": 12345678, "token_count": 3, "tokens": ["the", "cat"]}',
        '{"token": "the", "logprob": -0.25}',
        'tokenizer: "cl100k_base"',
        '{"eos_token": "<|im_end|>", "pad_token": "[PAD]"}',
        "the secret: to good soup is patience",
        "the secret: understanding",
        "sk-learn-contrib-something",
        "def token_count(text): return 3",
        "password = getpass.getpass()",
        "password = user_password",
        "connect(password=settings.DB_PASSWORD, api_key=keys[name])",
        'api_key = os.environ["SERVICE_API_KEY"]',
        "def login(self, password: Optional[str] = None, api_key: SecretStr | None = None) -> None:",
        'headers = {"Authorization": f"Bearer {token}"}',
        '{"api_key": "${SERVICE_API_KEY}", "password": "<your password>", "secret": "***"}',
        '{"customer_key": "C-000123", "sort_key": "timestamp", "key": "' + some(40, HEX) + '"}',
        '{"cache_key": "' + str(uuid.UUID(int=7)) + '"}',
        "export OPENAI_API_KEY=YOUR_API_KEY",
        "http://127.0.0.1:8888/lab?x=a@b",
        "git@example.com:owner/repository.git",
        "monkey=bananas123 keyboard: qwertz123",
        "api_key_env = 'SERVICE_API_KEY_2'",
        "Authorization: required",
        "the cookie: chocolate chip",
        "-----BEGIN CERTIFICATE-----",
        "AKIA is how they begin, eyJ too, and ghp_ or sk-",
    ],
)
def test_a_look_alike_stays(text: str) -> None:
    assert Redactor(environ={}).text(text) == text


SECRET_NAMES = (
    "password|DB_PASSWORD|apiKey|x-api-key|API_KEY_2|secretAccessKey|accessToken|refresh_token|client_secret|Cookie"
    "|set-cookie|Authorization|credentials|privateKey|apikey|connectionString|password_hash"
)
OTHER_NAMES = (
    "key|keys|token|tokens|token_count|max_tokens|pad_token|next_token|keyword|monkey|primary_key|customer_key"
    "|secret_name|api_key_env|password_length|credential_type|secretary|author|"
)


@pytest.mark.parametrize("name", SECRET_NAMES.split("|"))
def test_a_name_says_that_a_secret_is_held(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", OTHER_NAMES.split("|"))
def test_a_name_says_nothing(name: str) -> None:
    assert not is_secret_name(name)


def test_names_that_leave_it_open_are_judged_by_the_value() -> None:
    assert holds_secret("token", "a1b2c3d4e5f6")
    assert not holds_secret("token", "embedding")
    assert not holds_secret("token", "1234567890")
    assert holds_secret("service_x_key", some(24))
    assert not holds_secret("customer_key", "C-000123")
    assert not holds_secret("content_key", some(64, HEX))


def test_a_credential_is_found_in_what_is_only_taken_for_code() -> None:
    token = "ghp_" + some(36)
    assert token not in Redactor(environ={}).text(f"password = get[{token}]")
