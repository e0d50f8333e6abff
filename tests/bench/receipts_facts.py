"""What a made-up payment's receipt says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

FIRST = (
    "Amara", "Bruno", "Chitra", "Dmitri", "Elena", "Farid", "Greta", "Hassan", "Ingrid", "Joao",
    "Keiko", "Lars", "Mira", "Nadia", "Omar", "Priya", "Quentin", "Rosa", "Samuel", "Tariq",
    "Ursula", "Viktor", "Wanjiru", "Ximena", "Yusuf", "Zoe", "Anil", "Beatriz", "Carlos",
    "Deepa", "Emeka", "Fatima", "Gopal", "Hanna", "Ilya", "Jana", "Kofi", "Leila", "Marek",
    "Nils",
)  # fmt: skip
LAST = (
    "Abara", "Berg", "Castillo", "Dube", "Eriksen", "Fofana", "Gupta", "Hoffmann", "Ivanov",
    "Jensen", "Kumar", "Lopez", "Mensah", "Novak", "Okafor", "Petrov", "Quispe", "Rahman",
    "Silva", "Tanaka", "Ueda", "Varga", "Weber", "Xu", "Yilmaz", "Zhang", "Iyer", "Joshi",
    "Keller", "Lindqvist", "Moreau", "Nair", "Olsen", "Patel", "Reddy", "Sharma", "Torres",
    "Usman", "Verma", "Wagner",
)  # fmt: skip
BANKS = (
    "Harbor Bank", "First Union", "Meridian", "Nordbank", "Lotus Credit", "Coastal Savings",
    "Apex Trust", "Riverside", "Union Coop", "Sunrise Bank",
)  # fmt: skip
NOTES = (
    "Maintenance", "Rent", "Flat dues", "Parking", "Water bill", "Deposit", "Repairs",
    "Monthly fee", "Security", "Lift fund",
)  # fmt: skip
PAYEES = ("Green Park Society", "Lakeview Residents", "Hill Court Association", "Palm Grove Flats")


@dataclass(frozen=True, slots=True)
class Facts:
    """What one payment's receipt says."""

    payer: str
    payee: str
    cents: int
    when: datetime
    reference: str
    bank: str
    account: str
    note: str

    @property
    def amount(self) -> str:
        """The amount with thousands separators and two decimals."""
        return f"{self.cents // 100:,}.{self.cents % 100:02d}"

    @property
    def date(self) -> str:
        """Day, month and year."""
        return self.when.strftime("%d %b %Y")

    @property
    def time(self) -> str:
        """Hours and minutes."""
        return self.when.strftime("%I:%M %p")


def pick(random: Random, options: tuple[str, ...] | list[str]) -> str:
    """One of them."""
    return options[int(random.random() * len(options))]


def any_facts(random: Random) -> Facts:
    """A payment; one amount in three is a round one, as they are."""
    hundreds = int(10 ** (1.5 + 2.7 * random.random()))
    cents = hundreds * 100 + (0 if random.random() < 0.3 else int(random.random() * 100))
    minutes = int(random.random() * 60 * 24 * 700)
    return Facts(
        payer=f"{pick(random, FIRST)} {pick(random, LAST)}",
        payee=pick(random, PAYEES),
        cents=cents,
        when=datetime(2024, 1, 1) + timedelta(minutes=minutes),  # noqa: DTZ001 - wall clock
        reference=digits(random, 12),
        bank=pick(random, BANKS),
        account=digits(random, 4),
        note=pick(random, NOTES),
    )


def digits(random: Random, count: int) -> str:
    """So many digits, the first not 0."""
    return "".join(str(int(random.random() * (10 if i else 9)) + (not i)) for i in range(count))
