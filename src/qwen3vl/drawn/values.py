"""Values as they stand in tables and forms: of what kind, and how each kind is written in English and Chinese."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qwen3vl.drawn.words import Words, pairs

Maker = Callable[[Words], str]

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
CHOICES = (("Yes", "是"), ("No", "否"))  # of a form's box to tick
UNITS = ("kg", "g", "cm", "m", "km", "h", "min", "L", "ml", "mm")


def _word(words: Words) -> str:
    return words.word().capitalize()


def _name_zh(words: Words) -> str:
    return words.zh(2, 3)


def _iso(words: Words) -> str:
    return f"{words.rng.randint(1990, 2035)}-{words.rng.randint(1, 12):02d}-{words.rng.randint(1, 28):02d}"


def _dotted(words: Words) -> str:
    return f"{words.rng.randint(1, 28):02d}.{words.rng.randint(1, 12):02d}.{words.rng.randint(1990, 2035)}"


def _long_day(words: Words) -> str:
    return f"{words.rng.randint(1, 28)} {words.rng.choice(MONTHS)} {words.rng.randint(1990, 2035)}"


def _long_day_zh(words: Words) -> str:
    return f"{words.rng.randint(1990, 2035)}年{words.rng.randint(1, 12)}月{words.rng.randint(1, 28)}日"


def _phone(words: Words) -> str:
    return f"{words.rng.randint(100, 999)}-{words.rng.randint(1000, 9999)}"


def _phone_zh(words: Words) -> str:
    return f"1{words.rng.randrange(10**10):010d}"


def _thousands(words: Words) -> str:
    return f"{words.rng.randint(1, 99999):,}"


def _measure(words: Words) -> str:
    return f"{words.rng.randint(1, 999) / words.rng.choice((1, 10)):g} {words.rng.choice(UNITS)}"


def _company(words: Words) -> str:
    return f"{_word(words)} {words.rng.choice(('Ltd', 'Inc', 'Co', 'Group', 'GmbH', 'LLC'))}"


def _street(words: Words) -> str:
    return f"{words.rng.randint(1, 200)} {_word(words)} {words.rng.choice(('St', 'Road', 'Ave', 'Lane'))}"


def _street_zh(words: Words) -> str:
    return f"{words.zh(2, 3)}路{words.rng.randint(1, 200)}号"


def _small(words: Words) -> str:
    return str(words.rng.randint(0, 500))


# How each kind may be written in English and in Chinese; one way is kept to in one column.
KINDS: Mapping[str, tuple[tuple[Maker, ...], tuple[Maker, ...]]] = {
    "person": ((Words.name, _word), (_name_zh,)),
    "day": ((_iso, _dotted, _long_day, Words.date), (_iso, _long_day_zh, Words.date)),
    "word": ((_word,), (lambda words: words.zh(2, 4),)),
    "email": ((Words.email,), (Words.email,)),
    "phone": ((_phone, _phone_zh), (_phone, _phone_zh)),
    "code": ((Words.serial, Words.number), (Words.serial, Words.number)),
    "amount": (
        (
            lambda words: f"${words.price()}",
            lambda words: f"€{words.price()}",
            lambda words: f"£{words.price()}",
        ),
        (lambda words: f"￥{words.price()}", lambda words: f"{words.price()}元"),
    ),
    "plain_amount": ((Words.price,), (Words.price,)),
    "quantity": ((_small,), (_small,)),
    "measure": ((_measure,), (_measure,)),
    "seat": (
        (lambda words: f"{words.rng.randint(1, 40)}{words.rng.choice('ABCDEF')}", _small),
        (lambda words: f"{words.rng.choice('ABCDEF')}{words.rng.randint(1, 40)}", _small),
    ),
    "time": ((Words.clock,), (Words.clock,)),
    "company": ((_company,), (lambda words: words.zh(2, 4) + "公司",)),
    "street": ((_street,), (_street_zh,)),
    "choice": (
        (lambda words: words.rng.choice(CHOICES)[0],),
        (lambda words: words.rng.choice(CHOICES)[1],),
    ),
    "percent": (
        (lambda words: f"{words.rng.randint(0, 100)}%", lambda words: f"{words.rng.randint(0, 999) / 10}%"),
        (lambda words: f"{words.rng.randint(0, 100)}%", lambda words: f"{words.rng.randint(0, 999) / 10}%"),
    ),
    "number": ((Words.number, _small, _thousands), (Words.number, _small, _thousands)),
    "decimal": (
        (lambda words: f"{words.rng.randint(0, 9999) / 10:.1f}", lambda words: f"{words.rng.randint(-999, 999) / 10}"),
        (lambda words: f"{words.rng.randint(0, 9999) / 10:.1f}", lambda words: f"{words.rng.randint(-999, 999) / 10}"),
    ),
    "year": ((lambda words: str(words.rng.randint(1950, 2035)),), (lambda words: str(words.rng.randint(1950, 2035)),)),
}

# What each column of `vocabulary.toml` usually holds; columns that are not named hold numbers.
_HEADED: Mapping[str, str] = {
    "plain_amount": "Price Total Cost Profit Amount Budget Paid Balance",
    "day": "Date Due Start End",
    "time": "Time Hours",
    "word": "City Color Status Country Result Category Grade",
    "person": "Owner",
    "percent": "Rate Growth Share Discount",
    "code": "Code Model Version Room",
    "year": "Year",
    "phone": "Phone",
    "measure": "Weight Size Height Length Width Distance Speed Area Power Unit",
}
COLUMN_KINDS: Mapping[str, str] = {name: kind for kind, names in _HEADED.items() for name in names.split()}
ANY_COLUMN = ("number", "number", "plain_amount", "amount", "percent", "decimal", "code", "time", "word", "day", "year")

# A form's labels, English and Chinese, each with the kind of its values.
LABELS: tuple[tuple[tuple[str, str], str], ...] = tuple(
    (pair, kind)
    for kind in KINDS
    if kind not in ("percent", "number", "decimal", "year")
    for pair in pairs(f"label_{kind}")
)


def maker(words: Words, kind: str, chinese: bool) -> Maker:
    """One of the ways in which values of a kind are written."""
    return words.rng.choice(KINDS[kind][chinese])
