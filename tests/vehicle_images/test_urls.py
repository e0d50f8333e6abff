"""Which URLs of a vehicle are downloaded, in which form, and why the others aren't."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from runner.errors import Permanent
from runner.fetch.urls import check
from runner.tasks.vehicle_images.hosts import FORMS, full_size, split
from runner.tasks.vehicle_images.urls import REASONS, Chosen, LeftOut, choose

BAT = "https://bringatrailer.com/wp-content/uploads/2024/01/"
CLD = "https://res.cloudinary.com/demo/image/upload/"
CNB = "https://media.carsandbids.com/"
COMMONS = "https://upload.wikimedia.org/wikipedia/commons/"
EBAY = "https://i.ebayimg.com/"
SHOP = "https://cdn.shopify.com/s/files/1/1405/products/"

FULL = [
    # WordPress
    (BAT + "m5-1024x768.jpg", BAT + "m5.jpg"),
    (BAT + "m5-150x150.png", BAT + "m5.png"),
    (BAT + "m5-scaled.jpg", BAT + "m5.jpg"),
    (BAT + "m5-68595-scaled.jpg?fit=2048%2C1365", BAT + "m5-68595.jpg"),
    (BAT + "m5.jpg?resize=155%2C105", BAT + "m5.jpg"),
    (BAT + "m5.jpg?w=300&v=7&h=200", BAT + "m5.jpg?v=7"),
    (BAT + "m5-940x626.jpg#gallery", BAT + "m5.jpg"),
    (BAT + "m5-scaled-300x200.jpg", BAT + "m5.jpg"),
    ("/wp-content/uploads/m5-300x200.jpg", "/wp-content/uploads/m5.jpg"),
    ("https://x.files.wordpress.com/2020/01/a.jpg?w=300", "https://x.files.wordpress.com/2020/01/a.jpg"),
    ("https://i0.wp.com/a.org/b.jpg?resize=400%2C220&ssl=1", "https://i0.wp.com/a.org/b.jpg?ssl=1"),
    (
        "https://i2.wp.com/a.org/wp-content/uploads/b-300x200.jpg?fit=30%2C20",
        "https://i2.wp.com/a.org/wp-content/uploads/b.jpg",
    ),
    # Cloudflare, and Cars & Bids, which is behind it
    (
        CNB + "cdn-cgi/image/width=2080,quality=70/c519/photos/3zV-(edit).jpg?t=165308",
        CNB + "c519/photos/3zV-(edit).jpg?t=165308",
    ),
    ("https://a.org/cdn-cgi/image/width=80/https://b.org/c.jpg", "https://b.org/c.jpg"),
    ("https://a.org/cdn-cgi/image/fit=cover,w=80/c.jpg", "https://a.org/c.jpg"),
    # Shopify
    (SHOP + "wheel_600x.jpg?v=16", SHOP + "wheel.jpg?v=16"),
    (SHOP + "wheel_small.jpg", SHOP + "wheel.jpg"),
    (SHOP + "wheel_x320.jpg", SHOP + "wheel.jpg"),
    (SHOP + "wheel_320x320_crop_center@2x.progressive.jpg", SHOP + "wheel.jpg"),
    (SHOP + "wheel.jpg?v=16&width=533", SHOP + "wheel.jpg?v=16"),
    ("https://shop.example/cdn/shop/files/a_480x480.png?v=1", "https://shop.example/cdn/shop/files/a.png?v=1"),
    # Cloudinary
    (CLD + "c_thumb,w_150/v1544180194/car.jpg", CLD + "v1544180194/car.jpg"),
    (CLD + "w_80,h_60,c_fill/f_auto,q_auto:eco/cars/car.jpg", CLD + "cars/car.jpg"),
    (CLD + "t_hero/e_sharpen/v1/editorial/a.jpg", CLD + "v1/editorial/a.jpg"),
    (
        "https://res.cloudinary.com/demo/image/fetch/w_80/https://a.org/b.jpg",
        "https://res.cloudinary.com/demo/image/fetch/https://a.org/b.jpg",
    ),
    ("https://x-res.cloudinary.com/image/upload/w_80/v1/a.jpg", "https://x-res.cloudinary.com/image/upload/v1/a.jpg"),
    # Craigslist
    ("https://images.craigslist.org/00g_4bp_50x50c.jpg", "https://images.craigslist.org/00g_4bp_1200x900.jpg"),
    ("https://images.craigslist.org/00g_4bp_300x300.jpg", "https://images.craigslist.org/00g_4bp_1200x900.jpg"),
    ("https://images.craigslist.org/00g_4bp_600x450.jpg", "https://images.craigslist.org/00g_4bp_1200x900.jpg"),
    # eBay
    (EBAY + "images/g/GtEAAOSw1W9/s-l64.jpg", EBAY + "images/g/GtEAAOSw1W9/s-l1600.jpg"),
    (EBAY + "images/g/GtEAAOSw1W9/s-l500.webp", EBAY + "images/g/GtEAAOSw1W9/s-l1600.webp"),
    (EBAY + "thumbs/images/g/GtEAAO/s-l225.jpg", EBAY + "images/g/GtEAAO/s-l1600.jpg"),
    (EBAY + "00/s/MTYwMFgx/z/FYwAAO/$_12.JPG?set_id=88", EBAY + "images/g/FYwAAO/s-l1600.jpg"),
    # Autotrader in the US and in Britain
    ("https://images.autotrader.com/scaler/653/490/hn/c/bf94.jpg", "https://images.autotrader.com/hn/c/bf94.jpg"),
    ("https://m.atcdn.co.uk/a/media/w480h360/2527.jpg", "https://m.atcdn.co.uk/a/media/2527.jpg"),
    ("https://m.atcdn.co.uk/a/media/{resize}/2527.jpg", "https://m.atcdn.co.uk/a/media/2527.jpg"),
    # Wikimedia
    (COMMONS + "thumb/1/12/Hyundai.jpg/120px-Hyundai.jpg", COMMONS + "1/12/Hyundai.jpg"),
]  # fmt: skip

SAME = [
    "https://a.org/photos/IMG_0001.jpg",
    "https://a.org/photo",
    "https://a.org/a-1024x768.jpg",  # large enough, and of no known host
    "https://a.org/uploads/m5-scaled.jpg",
    BAT + "m5.jpg",
    BAT + "jeep-4x4.jpg",
    BAT + "rims-17x10.jpg",
    BAT + "m5-620x371-1.png",
    SHOP + "jeep_4x4.jpg",
    CLD + "c_class/1.jpg",  # a folder
    CLD + "g_class,2020/1.jpg",
    CLD + "s--Ai4Znfl3--/w_80/v1/a.jpg",  # the signature is for these transformations
    CLD + "a_90/v1/a.jpg",  # it would lie on its side
    CLD + "l_logo,w_80/v1/a.jpg",
    EBAY + "images/g/GtEAAOSw1W9/s-l1600.jpg",
    "https://images.craigslist.org/00g_4bp_1200x900.jpg",
    "https://evilcraigslist.org/00g_4bp_600x450.jpg",
    "https://images.craigslist.org.example/00g_4bp_600x450.jpg",
    "https://images.autotrader.com/hn/c/bf94.jpg",
    "https://a.org/thumbelina.jpg",
    "https://a.org/the-tom-thumb-special.jpg",
    "https://a.org/hitchthumb/1.jpg",
    "https://a.org/thumbs-up-motors/1.jpg",
    "https://a.org/thumbs/1-1200x900.jpg",  # says itself that it is large
    "https://a.org/thumb/800x600/1.jpg",
    "https://a.org/thumb.php?src=1.jpg&w=900",
    "https://a.org/jeep-4x4.jpg",
    "https://a.org/hub-5x114.jpg",
    "https://a.org/print-24x36.jpg",
    "https://a.org/banner-150x900.jpg",
    "https://a.org/w-2150x2150.jpg",
    "https://a.org/svg/1.jpg",
    "https://a.org/svg",
    "https://a.org/pixel.jpg",
    "https://a.org/google-pixel.png",
    "https://www.facebook.com/trucks/1.jpg",
    "https://scontent.fbcdn.net/v/t39/1.jpg?oh=1",
    "https://notdoubleclick.net/1.jpg",
    "https://a.org/?u=https://www.facebook.com/tr?id=1",
    "https://a.org/a?x=1&copy=2&reg=US&sect=3",  # no entities without their semicolon
    "https://a.org/\u202egpj.exe",
    "https://a.org/\u05d0\u05d1.jpg",
    "https://a.org/\x00.jpg",
    "https://a.org/\ud800.jpg",
    "https://a.org/a b.jpg",
    "https:\\/\\/a.org\\/1.jpg",
    "https://user:pass@a.org/1.jpg",
    "https://[::1/1.jpg",
    "http://169.254.169.254/latest",  # whether it is safe is the downloader's to say
    "file:///etc/passwd",
    "ftp://a.org/1.jpg",
    "photos/1.jpg",
    "/photos/1.jpg",
    "../1.jpg",
    "///a/1.jpg",
    "//",
    "?",
    "#",
    "null",
    "https://",
    "https://a.org/{0}/{resize}-1024x768.jpg",
    "https://a.org/cdn-cgi/image/1.jpg",
    "https://a.org/cdn-cgi/image/width=80/",
    "https://a.org/caf&eacute" + "&#59" * 6 + ";.jpg",  # escaped too often to be an accident
]

CLEANED = [
    ("  https://a.org/1.jpg\n", "https://a.org/1.jpg"),
    ("\u00a0https://a.org/1.jpg\u3000", "https://a.org/1.jpg"),
    ("https://a.org/1.jpg?a=1&amp;b=2", "https://a.org/1.jpg?a=1&b=2"),
    ("https://a.org/1.jpg?a=1&amp;amp;b=2", "https://a.org/1.jpg?a=1&b=2"),
    ("https://a.org/1.jpg?a=1&#38;b=2", "https://a.org/1.jpg?a=1&b=2"),
    ("https://a.org/1.jpg?a=1&#x26;amp;b=2", "https://a.org/1.jpg?a=1&b=2"),
    ("https://a.org/1.jpg?a=1&amp;amp;amp;amp;amp;amp;amp;b=2", "https://a.org/1.jpg?a=1&b=2"),
    ("https&#58;&#47;&#47;a.org/1.jpg", "https://a.org/1.jpg"),
    ("&quot;https://a.org/1.jpg&quot;", '"https://a.org/1.jpg"'),
    ("https://a.org/caf&eacute;.jpg", "https://a.org/caf\u00e9.jpg"),
    ("https://a.org/&amp;eacute;.jpg&#32;", "https://a.org/\u00e9.jpg"),
    ("https://a.org/&#0;&#xD800;&#9999999;.jpg", "https://a.org/\ufffd\ufffd\ufffd.jpg"),
    ("//a.org/1.jpg", "https://a.org/1.jpg"),
    ("&#47;/a.org/1.jpg", "https://a.org/1.jpg"),
]

LEFT = [
    ("", "empty"),
    (" \t\n", "empty"),
    ("&nbsp;", "empty"),
    (None, "not_text"),
    (7, "not_text"),
    (7.5, "not_text"),
    (True, "not_text"),
    ([], "not_text"),
    (["https://a.org/1.jpg"], "not_text"),
    ({}, "not_text"),
    ({"url": None, "src": 3}, "not_text"),
    ({"url": {"url": "https://a.org/1.jpg"}}, "not_text"),
    ({"href": "https://a.org/1.jpg"}, "not_text"),
    ("data:image/png;base64,iVBORw0KGgo=", "data"),
    ("DATA:,", "data"),
    ("https://example.org/" + "a" * 8_000, "too_long"),
    ("https://a.org/logo.svg", "svg"),
    ("https://a.org/logo.SVG?v=1#x", "svg"),
    ("https://a.org/logo.svgz", "svg"),
    ("/logo.svg", "svg"),
    ("https://a.org/cdn-cgi/image/w=80/logo.svg", "svg"),
    ("https://www.facebook.com/tr?id=1&amp;ev=PageView&amp;noscript=1", "tracker"),
    ("https://www.facebook.com/tr/?id=1", "tracker"),
    ("https://WWW.Facebook.com:443/tr?id=1", "tracker"),
    ("https://www.facebook.com./tr?id=1", "tracker"),
    ("//bat.bing.com/action/0?ti=5440748&Ver=2", "tracker"),
    ("https://googleads.g.doubleclick.net/pagead/viewthroughconversion/1/", "tracker"),
    ("https://www.google-analytics.com/collect?v=1", "tracker"),
    ("https://www.googletagmanager.com/ns.html?id=GTM-1", "tracker"),
    ("https://www.google.com/pagead/1p-user-list/1/", "tracker"),
    ("https://px.ads.linkedin.com/collect/?pid=1", "tracker"),
    ("https://t.co/i/adsct?txn_id=1", "tracker"),
    ("https://sb.scorecardresearch.com/p?c1=2", "tracker"),
    ("https://pixel.wp.com/g.gif?v=ext", "tracker"),
    ("https://a.org/pixel.gif?u=1", "tracker"),
    ("https://a.org/img/1x1.png", "tracker"),
    ("https://a.org/spacer.gif", "tracker"),
    ("https://a.org/Blank.GIF", "tracker"),
    ("https://a.org/m5-150x150.jpg", "thumbnail"),
    ("https://a.org/m5_100x75.jpg", "thumbnail"),
    ("https://a.org/m5-200x200.jpg", "thumbnail"),
    ("https://a.org/cache/120x90/m5.jpg", "thumbnail"),
    ("https://a.org/thumb/m5.jpg", "thumbnail"),
    ("https://a.org/Thumbnails/m5.jpg", "thumbnail"),
    ("https://a.org/_thumbs_150/m5.jpg", "thumbnail"),
    ("https://a.org/thumb_m5.jpg", "thumbnail"),
    ("https://a.org/m5-thumb.jpg", "thumbnail"),
    ("https://a.org/m5.thumbnail.jpg", "thumbnail"),
    ("https://a.org/m5Thumb.jpg", "thumbnail"),
    ("https://a.org/THUMB1.JPG", "thumbnail"),
    ("https://a.org/thumb.php?src=1.jpg&w=90", "thumbnail"),
    ("/photos/thumbs/1.jpg", "thumbnail"),
]

REPEATED = [
    ("https://a.org/1.jpg", "https://a.org/1.jpg"),
    ("https://a.org/1.jpg", "HTTPS://A.ORG/1.jpg"),
    ("https://a.org/1.jpg", "https://a.org:443/1.jpg"),
    ("http://a.org:80/1.jpg", "http://a.org/1.jpg"),
    ("https://a.org/1.jpg", "https://a.org./1.jpg"),
    ("https://a.org/1.jpg", "https://a.org/1.jpg#top"),
    ("https://a.org", "https://a.org/"),
    ("https://a.org/a b.jpg", "https://a.org/a%20b.jpg"),
    ("https://b\u00fccher.example/1.jpg", "https://xn--bcher-kva.example/1.jpg"),
    ("https://a.org/1.jpg?a&amp;b", "https://a.org/1.jpg?a&b"),
    ("//a.org/1.jpg", "https://a.org/1.jpg"),
    ("photos/1.jpg#a", "photos/1.jpg"),
    (BAT + "m5-300x200.jpg", BAT + "m5.jpg?fit=940%2C627"),
    (EBAY + "images/g/A/s-l64.jpg", EBAY + "00/s/B/z/A/$_57.JPG"),
    (EBAY + "images/g/A/s-l1600.jpg", EBAY + "thumbs/images/g/A/s-l225.jpg"),
]

DIFFERENT = [
    ("http://a.org/1.jpg", "https://a.org/1.jpg"),
    ("https://a.org/1.jpg", "https://a.org/1.JPG"),
    ("https://a.org/1.jpg", "https://a.org:8443/1.jpg"),
    ("https://a.org/1.jpg?v=1", "https://a.org/1.jpg?v=2"),
    ("https://a.org/1.jpg", "https://www.a.org/1.jpg"),
    (CLD + "c_class/1.jpg", CLD + "e_class/1.jpg"),
    (BAT + "jeep-4x4.jpg", BAT + "jeep-4x2.jpg"),
]


def alone(value: object) -> tuple[str, str]:
    """Of a row with this one entry: what is asked for first, and what after that."""
    chosen, left = choose([value], 20)
    assert not left
    return chosen[0].url, chosen[0].given


@pytest.mark.parametrize("given, url", FULL)
def test_a_smaller_form_of_a_known_host_gives_way_to_the_full_one(given: str, url: str) -> None:
    """The full size is asked for first, and the row's own form is kept for when there is none."""
    assert alone(given) == (url, given)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.hosts or form.mark}")
def test_every_known_form_is_shown_by_an_example(form: object) -> None:
    """No line of the table is there without a URL that needs it."""
    other = tuple(line for line in FORMS if line is not form)
    assert any(_undone(given, other) != url for given, url in FULL)


def _undone(given: str, forms: tuple[object, ...]) -> str:
    address = split(given)
    for _ in range(4):
        for form in FORMS:
            hosts = not form.hosts or any(
                f".{address.host}".endswith(f".{host}") for host in form.hosts
            )
            if form in forms and hosts and form.mark in address.path:
                address = form.undo(address)
    return address.url


@pytest.mark.parametrize("url", SAME)
def test_what_cannot_be_judged_is_asked_for_as_it_is(url: str) -> None:
    """Odd, large and look-alike URLs are kept to the letter: their download decides."""
    assert alone(url) == (url, url)


@pytest.mark.parametrize("raw, given", CLEANED)
def test_a_url_is_what_the_page_meant(raw: str, given: str) -> None:
    """Entities however often escaped, blanks around and a missing scheme are undone."""
    assert alone(raw) == (given, given)


@pytest.mark.parametrize("value, reason", LEFT)
def test_what_is_clearly_no_photograph_is_left_out(value: object, reason: str) -> None:
    """What is left out has a reason, and the reason has a sentence."""
    chosen, left = choose([value], 20)
    assert not chosen
    assert [(entry.position, entry.reason) for entry in left] == [(0, reason)]
    assert left[0].sentence == REASONS[left[0].reason]


def test_every_reason_is_given_by_something() -> None:
    """No reason is documented that nothing has."""
    assert {reason for _, reason in LEFT} | {"repeated", "beyond"} == set(REASONS)


@pytest.mark.parametrize("first, second", REPEATED)
def test_the_first_of_two_ways_to_one_picture_stays(first: str, second: str) -> None:
    """URLs that lead to the same place are downloaded once, whichever way round they come."""
    for pair in ([first, second], [second, first]):
        chosen, left = choose(pair, 20)
        assert [entry.position for entry in chosen] == [0]
        assert [(entry.position, entry.reason) for entry in left] == [(1, "repeated")]


@pytest.mark.parametrize("first, second", DIFFERENT)
def test_what_may_be_two_pictures_is_downloaded_twice(first: str, second: str) -> None:
    """URLs that differ in more than spelling are both asked for: their contents are compared."""
    assert [entry.position for entry in choose([first, second], 20)[0]] == [0, 1]


@pytest.mark.parametrize(
    "row, urls",
    [
        ("https://a.org/1.jpg", ["https://a.org/1.jpg"]),
        (["https://a.org/1.jpg"], ["https://a.org/1.jpg"]),
        ([{"url": "https://a.org/1.jpg"}], ["https://a.org/1.jpg"]),
        ([{"src": " //a.org/1.jpg"}], ["https://a.org/1.jpg"]),
        ([{"url": 1, "src": "/1.jpg"}], ["/1.jpg"]),
        ([{"url": "/1.jpg", "src": "/2.jpg"}], ["/1.jpg"]),
        ([None, "/1.jpg", {}, ["/2.jpg"]], ["/1.jpg"]),
        ([], []),
        ({}, []),
        ({"url": "https://a.org/1.jpg"}, []),
        (None, []),
        (0, []),
        (True, []),
        (1.5, []),
    ],
)  # fmt: skip
def test_any_json_can_be_in_the_row(row: object, urls: list[str]) -> None:
    """A list of texts or objects, or one text, has URLs; any other value has none."""
    assert [entry.url for entry in choose(row, 20)[0]] == urls


def test_no_more_are_chosen_than_are_wanted() -> None:
    """The first ones are taken, in order and with their places; what follows is beyond."""
    row = ["/0.jpg", None, "/2.svg", "/0.jpg", "/4.jpg", "/5.jpg", "", "/7.svg", "/4.jpg"]
    assert choose(row, 2) == (
        [Chosen("/0.jpg", "/0.jpg", 0), Chosen("/4.jpg", "/4.jpg", 4)],
        [
            LeftOut("(null)", 1, "not_text"),
            LeftOut("/2.svg", 2, "svg"),
            LeftOut("/0.jpg", 3, "repeated"),
            LeftOut("/5.jpg", 5, "beyond"),
            LeftOut("", 6, "empty"),
            LeftOut("/7.svg", 7, "beyond"),
            LeftOut("/4.jpg", 8, "beyond"),
        ],
    )
    for none in (0, -1):
        chosen, left = choose(["/0.jpg"], none)
        assert (chosen, [entry.reason for entry in left]) == ([], ["beyond"])


def test_a_data_uri_is_not_carried_along() -> None:
    """A picture of a megabyte within the row doesn't end up in its outcome."""
    assert len(choose(["data:image/png;base64," + "A" * 1_000_000], 20)[1][0].given) <= 80


def rows() -> list[list[object]]:
    """Rows of everything above: the tables whole, and 300 random mixtures of pieces of them."""
    texts = [raw for raw, _ in FULL + CLEANED] + SAME
    texts += [value for value, _ in LEFT if isinstance(value, str)]
    texts += [url for pair in REPEATED + DIFFERENT for url in pair]
    dice = random.Random(4)
    pieces = [piece for text in texts for piece in (text[:9], text[-14:], text[8:])]
    pieces += ["-300x200", "-scaled.jpg", "&amp;", "&#38;#38;", "//", "thumb", "\ud800", "%", "?"]
    mixed = ["".join(dice.choices(pieces, k=dice.randint(1, 6))) for _ in range(3000)]
    values = [value for value, _ in LEFT]
    made: list[list[object]] = [[*texts], [*values]]
    return made + [[*mixed[i : i + 10]] for i in range(0, len(mixed), 10)]


def test_choosing_among_the_chosen_changes_nothing() -> None:
    """The URLs that are asked for first are chosen again, all of them and as they are."""
    for row in rows():
        urls = [entry.url for entry in choose(row, 10_000)[0]]
        again, left = choose(urls, 10_000)
        assert [entry.url for entry in again] == urls
        assert not left


def test_every_entry_is_either_chosen_or_left_out_in_the_row_s_order() -> None:
    """Nothing gets lost, doubled or moved, whatever the row has."""
    for row in rows():
        for most in (0, 3, 10_000):
            chosen, left = choose(row, most)
            here, there = [e.position for e in chosen], [e.position for e in left]
            assert len(chosen) <= most
            assert here == sorted(here)
            assert there == sorted(there)
            assert sorted(here + there) == list(range(len(row)))


def test_no_two_chosen_lead_to_the_same_place() -> None:
    """What the downloader would ask for is asked for once, by its own form of a URL."""
    for row in rows():
        places = [_place(entry.url) for entry in choose(row, 10_000)[0]]
        assert len(set(places)) == len(places)


def test_nothing_is_called_repeated_that_leads_elsewhere() -> None:
    """What is left out as repeated has, in the downloader's form, an equal among the chosen."""
    for row in rows():
        chosen, left = choose(row, 10_000)
        places = {_place(entry.url) for entry in chosen}
        for entry in left:
            if entry.reason == "repeated":
                full = full_size(split(entry.given))
                assert {_place(full.url), _place(entry.given)} & places


def _place(url: str) -> str:
    try:
        return check(url)
    except Permanent:
        return url.partition("#")[0]


def test_a_full_form_is_its_own_full_form() -> None:
    """However many resizings are stacked, undoing them is done once and for all."""
    for depth in range(12):
        full = full_size(split(BAT + "m5" + "-300x200" * depth + ".jpg"))
        assert full_size(full) == full


HUGE: dict[str, Callable[[int], str]] = {
    "letters": lambda n: "a" * n,
    "one long path": lambda n: "https://a.org/" + "a" * n,
    "slashes": lambda n: "/" * n,
    "folders": lambda n: "https://a.org" + "/thumb1" * (n // 7),
    "ampersands": lambda n: "&" * n,
    "entities": lambda n: "&amp;" * (n // 5),
    "one entity, escaped again and again": lambda n: "&" + "amp;" * (n // 4),
    "numbers, escaped again and again": lambda n: "&#38;" + "#38;" * (n // 4),
    "entities that make entities": lambda n: "&&#35;38;" * (n // 9),
    "half entities": lambda n: "&#x" * (n // 3),
    "sizes": lambda n: BAT + "-300x200" * (n // 8) + ".jp",
    "marks": lambda n: "https://a.org" + "/wp-content/uploads/-scaled" * (n // 27),
    "options": lambda n: "https://a.org/cdn-cgi/image/" + "w=1," * (n // 4),
    "transformations": lambda n: CLD + "w_1,h_1/" * (n // 8) + "l_",
    "versions": lambda n: CLD + "a,b/v1" * (n // 6),
    "underscores": lambda n: SHOP + "_600x_crop" * (n // 10) + "@2x.jpg!",
    "ebay": lambda n: EBAY + "images/" + "s-l1/" * (n // 5),
    "dashes": lambda n: "https://a.org/" + "-_" * (n // 2) + "thumb",
    "capitals": lambda n: "https://a.org/" + "A" * n + "thumb",
    "labels": lambda n: "https://" + "a." * (n // 2) + "/1.jpg",
    "parameters": lambda n: BAT + "1.jpg?" + "w=1&" * (n // 4),
    "blanks": lambda n: " " * n + "x" + " " * n,
    "spaces within": lambda n: "https://a.org/" + " " * n,
    "surrogates": lambda n: "\ud800" * n,
    "NULs": lambda n: "\x00" * n,
    "right to left": lambda n: "https://a.org/" + "\u202e\u05d0" * (n // 2),
}


@pytest.mark.parametrize("make", HUGE.values(), ids=HUGE)
def test_a_text_of_a_megabyte_is_no_work(make: Callable[[int], str]) -> None:
    """Neither a megabyte nor the longest that is judged as a URL takes more than linear time."""
    for length, runs in ((1_000_000, 1), (7_900, 20)):
        text = make(length)
        started = time.process_time()
        for _ in range(runs):
            choose([text], 20)
        assert time.process_time() - started < 3.0


def test_ten_thousand_urls_in_one_row_are_no_work() -> None:
    """A row of 10,000 URLs is gone through within a tenth of a second of the processor."""
    row = [f"https://cdn.dealer.example/2020/stock-{i}/IMG_{i}.jpg?v={i}" for i in range(10_000)]
    taken = []
    for _ in range(5):
        started = time.process_time()
        chosen, left = choose(row, 20)
        taken.append(time.process_time() - started)
    assert (len(chosen), len(left)) == (20, 9_980)
    assert min(taken) < 0.1


def test_ten_thousand_repeats_cost_in_proportion() -> None:
    """Entries that never fill the quota cost what as many others do, not more for each other."""
    few, many = ([BAT + "m5-300x200.jpg"] * n for n in (1_000, 10_000))
    assert _seconds(many) < 40 * _seconds(few)


def _seconds(row: list[str]) -> float:
    taken = []
    for _ in range(5):
        started = time.process_time()
        choose(row, 20)
        taken.append(time.process_time() - started)
    return min(taken)
