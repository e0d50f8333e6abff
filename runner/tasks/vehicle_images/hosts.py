"""What is known of picture hosts: where the full size of a picture is, and what is a tracker.

The tables are data: a host more is a line more, with the source of what it says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

ROUNDS = 4
"""Forms that are undone one after the other at most (a resized file behind a resizing proxy)."""


class Address(NamedTuple):
    """A URL taken apart, without its fragment; `origin` and `host` are empty in a relative one.

    `host` is in lower case and without port; the rest is as written, `query` with its `?`.
    """

    origin: str
    host: str
    path: str
    query: str

    @property
    def url(self) -> str:
        """The parts put together again."""
        return self.origin + self.path + self.query


def split(url: str) -> Address:
    """Any text taken apart, for comparing with the tables: it is no check of anything."""
    path, mark, query = url.partition("#")[0].partition("?")
    scheme, between, rest = path.partition("://")
    if not between or scheme.lower() not in ("http", "https"):
        return Address("", "", path, mark + query)
    authority, slash, below = rest.partition("/")
    host = authority.lower().partition(":")[0].rstrip(".")
    return Address(f"{scheme}://{authority}", host, slash + below, mark + query)


@dataclass(frozen=True, slots=True)
class Form:
    """How a smaller form of a picture is named, and how the full one is.

    It is of the hosts `hosts` (a name stands for the names below it too; none: of every host)
    where the path contains `mark`. `smaller` has to match all of the URL before its query, and
    its groups are filled into `full`. The query's parameters `without` are left away.
    """

    hosts: tuple[str, ...] = ()
    mark: str = "/"
    smaller: re.Pattern[str] | None = None
    full: str = ""
    without: frozenset[str] = frozenset()

    def undo(self, address: Address) -> Address:
        """The full form, or the same address where it isn't a smaller one."""
        query = _without(address.query, self.without) if self.without else address.query
        found = self.smaller.fullmatch(address.origin + address.path) if self.smaller else None
        if found:
            return split(self.full.format(*found.groups("")) + query)
        return address if query == address.query else address._replace(query=query)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def _without(query: str, names: frozenset[str]) -> str:
    if not query:
        return query
    kept = [part for part in query[1:].split("&") if part.partition("=")[0].lower() not in names]
    return "?" + "&".join(kept) if kept else ""


# Every pattern takes linear time: `(?>.*/)` ends at the last slash and is never tried shorter.
_PICTURE = r"(\.(?:jpe?g|png|gif|webp|avif|heic))"
_ANY_HOST = r"((?:https?://[^/]+)?)"

_PHOTON = frozenset({"w", "h", "resize", "fit", "crop", "lb", "ulb", "zoom", "quality", "strip"})
_SHOPIFY_NAME = (
    r"((?>.*/)[^/]+?)_(?:pico|icon|thumb|small|compact|medium|large|grande|original|master"
    r"|[0-9]{2,4}x[0-9]{0,4}|x[0-9]{2,4})"
    r"(?:_crop_(?:top|center|bottom|left|right))?(?:@[123]x)?(?:\.progressive)?" + _PICTURE
)
_SHOPIFY_QUERY = frozenset({"width", "height", "crop", "pad_color"})
_CLOUDINARY = r"(https?://[^/]+(?:/[^/]+)?/image/"
_RESIZING = (
    r"(?:[wh]_(?:[0-9.]+|auto)|c_(?:scale|fit|limit|m?fit|fill|fill_pad|lfill|m?pad|lpad|thumb|auto)"
    r"|q_(?:[0-9]+|auto)(?::[a-z]+)?|f_(?:auto|jpg|png|webp|avif)|g_(?:auto|faces?|center)"
    r"|dpr_(?:[0-9.]+|auto)|ar_[0-9.:]+|fl_(?:progressive|lossy))"
)

FORMS = (
    # WordPress names a size name-WxH.jpg (image_make_intermediate_size), and since 5.3 what it
    # made of a large upload name-scaled.jpg: make.wordpress.org/core/2019/10/09/
    # introducing-handling-of-big-images-in-wordpress-5-3. No size is below 100 both ways, so
    # that jeep-4x4.jpg is none. bringatrailer.com is such a site and resizes by query as well.
    Form(
        mark="/wp-content/uploads/",
        smaller=_pattern(
            r"(?>(.*[^/])-)(?:[0-9]{3,4}x[0-9]{2,4}|[0-9]{2,4}x[0-9]{3,4}|scaled)" + _PICTURE
        ),
        full="{0}{1}",
        without=frozenset({"w", "h", "resize", "fit", "crop"}),
    ),
    # developer.wordpress.com/docs/photon: the query resizes. The proxy stays in the URL, since
    # it has pictures whose own host is gone or refuses strangers.
    Form(hosts=("i0.wp.com", "i1.wp.com", "i2.wp.com", "i3.wp.com"), without=_PHOTON),
    Form(hosts=("files.wordpress.com",), without=_PHOTON),
    # developers.cloudflare.com/images/transform-images/transform-via-url:
    # /cdn-cgi/image/<options>/<path or URL of the source>. media.carsandbids.com has this form.
    Form(
        mark="/cdn-cgi/image/",
        smaller=_pattern(_ANY_HOST + r"/cdn-cgi/image/[^/=]*=[^/]*/(https?://.+)"),
        full="{1}",
    ),
    Form(
        mark="/cdn-cgi/image/",
        smaller=_pattern(_ANY_HOST + r"/cdn-cgi/image/[^/=]*=[^/]*/(?!/|https?:)(.+)"),
        full="{0}/{1}",
    ),
    # shopify.dev/docs/api/liquid/filters/img_url (sizes in the name, deprecated) and image_url
    # (in the query).
    Form(
        hosts=("cdn.shopify.com",),
        smaller=_pattern(_SHOPIFY_NAME),
        full="{0}{1}",
        without=_SHOPIFY_QUERY,
    ),
    Form(mark="/cdn/shop/", smaller=_pattern(_SHOPIFY_NAME), full="{0}{1}", without=_SHOPIFY_QUERY),
    # cloudinary.com/documentation/advanced_url_delivery_options: no folder is called v1234, so
    # all before the version are transformations. With a signature (s--...--), a turn (a_) or an
    # overlay (l_, u_) they stay. Without a version, only what is clearly a resizing goes, and
    # not a folder that is called c_class.
    Form(
        hosts=("cloudinary.com",),
        smaller=_pattern(
            _CLOUDINARY + r"upload/)(?!s--)(?:(?!(?:[^/]*,)?[alu]_)[^/]+/)+?(v[0-9]+/.+)"
        ),
        full="{0}{1}",
    ),
    Form(
        hosts=("cloudinary.com",),
        smaller=_pattern(
            _CLOUDINARY + rf"(?:upload|fetch)/)(?:{_RESIZING}(?:,{_RESIZING})*/)+(.+)"
        ),
        full="{0}{1}",
    ),
    # The names in Craigslist's own lists of images are _50x50c, _300x300 and _600x450; the
    # largest that it serves is _1200x900 (a rule of Image Max URL, and many readers of its ads).
    Form(
        hosts=("images.craigslist.org",),
        smaller=_pattern(r"((?>.*_))(?:50x50c|300x300|600x450)(\.jpg)"),
        full="{0}1200x900{1}",
    ),
    # The largest copy is 1600 x 1600: developer.ebay.com, Trading API, "Picture hosting". The
    # older names have the same id (a rule of Image Max URL).
    Form(
        hosts=("ebayimg.com",),
        smaller=_pattern(
            r"(https?://[^/]+)/(?:thumbs/)?(images/(?:[^/]+/)*)s-l[0-9]{2,4}(\.[a-z]+)"
        ),
        full="{0}/{1}s-l1600{2}",
    ),
    Form(
        hosts=("ebayimg.com",),
        smaller=_pattern(r"(https?://[^/]+)/00/s/[^/]+/z/([^/]+)/\$_[0-9]{1,2}\.jpe?g"),
        full="{0}/images/g/{1}/s-l1600.jpg",
        without=frozenset({"set_id"}),
    ),
    # autotrader.com: its data has /hn/c/<id>.jpg with the size of the upload, 4032 x 3024 say;
    # /scaler/<width>/<height> before it makes it smaller (both seen in its pages).
    Form(
        hosts=("images.autotrader.com",),
        smaller=_pattern(r"(https?://[^/]+)/scaler/[0-9]+/[0-9]+/(hn/.+)"),
        full="{0}/{1}",
    ),
    # autotrader.co.uk: its data has addresses with a placeholder, /media/{resize}/<id>.jpg, that
    # becomes w480h360 and the like; without that part it is as uploaded (seen in its pages).
    Form(
        hosts=("m.atcdn.co.uk",),
        smaller=_pattern(
            r"(https?://[^/]+/[a-z]+/media)/(?:w[0-9]+(?:h[0-9]+)?|h[0-9]+|\{resize\})/([^/]+)"
        ),
        full="{0}/{1}",
    ),
    # phabricator.wikimedia.org/T153497: /thumb/<path of the file>/<width>px-<name>.
    Form(
        hosts=("upload.wikimedia.org",),
        smaller=_pattern(
            r"(https?://[^/]+/[^/]+/[^/]+)/thumb/([0-9a-f]/[0-9a-f]{2}/[^/]+"
            + _PICTURE
            + r")/[^/]+"
        ),
        full="{0}/{1}",
    ),
)

TRACKERS = (
    # The <noscript> images and beacons that the vendors tell their customers to put into pages;
    # a path stands for itself and what is below it, none for the whole host.
    ("facebook.com", "/tr"),  # Meta Pixel
    ("doubleclick.net", ""),  # Google Ads remarketing, Campaign Manager 360 Floodlight
    ("google-analytics.com", ""),
    ("googletagmanager.com", ""),
    ("googleadservices.com", ""),
    ("googlesyndication.com", ""),
    ("google.com", "/pagead"),  # Google Ads audiences
    ("google.com", "/ads"),
    ("bat.bing.com", ""),  # Microsoft Advertising UET
    ("px.ads.linkedin.com", ""),  # LinkedIn Insight Tag
    ("analytics.twitter.com", ""),  # X conversion tracking
    ("t.co", "/i/adsct"),
    ("ct.pinterest.com", ""),  # Pinterest tag
    ("tr.snapchat.com", ""),  # Snap Pixel
    ("analytics.tiktok.com", ""),  # TikTok Pixel
    ("sp.analytics.yahoo.com", ""),  # Yahoo Dot
    ("pixel.wp.com", ""),  # Jetpack Stats
    ("stats.wp.com", ""),
    ("scorecardresearch.com", ""),  # Comscore
    ("quantserve.com", ""),  # Quantcast
    ("adnxs.com", ""),  # Xandr
    ("adsrvr.org", ""),  # The Trade Desk
    ("criteo.com", ""),
    ("c.statcounter.com", ""),
)


def full_size(address: Address) -> Address:
    """Where the full size is; the same address where it is unknown or this is it.

    The full form of a full form is itself: what needs more than `ROUNDS` steps is left alone.
    """
    at = address
    for _ in range(ROUNDS):
        before = at
        for form in _forms(at.host):
            if form.mark in at.path:
                at = form.undo(at)
        if at == before:
            return at
    return address


def is_tracker(address: Address) -> bool:
    """Whether it is an address that counts visitors and has no picture."""
    return any(
        not path or address.path == path or address.path.startswith(path + "/")
        for path in _tracker_paths(address.host)
    )


@lru_cache(maxsize=1024)
def _forms(host: str) -> tuple[Form, ...]:
    return tuple(
        form for form in FORMS if not form.hosts or any(_is_below(host, n) for n in form.hosts)
    )


@lru_cache(maxsize=1024)
def _tracker_paths(host: str) -> tuple[str, ...]:
    return tuple(path for name, path in TRACKERS if _is_below(host, name))


def _is_below(host: str, name: str) -> bool:
    return host == name or host.endswith("." + name)
