"""URLs of objects in S3."""

from __future__ import annotations

import pytest

from runner.faces.rekognition_s3 import S3Object, s3_object


@pytest.mark.parametrize(
    "url, expected",
    [
        ("s3://family/a/b.jpg", S3Object("family", "a/b.jpg")),
        ("s3://family/a b%20c+.jpg", S3Object("family", "a b%20c+.jpg")),
        ("https://family.s3.amazonaws.com/a.jpg", S3Object("family", "a.jpg")),
        (
            "https://family.s3.eu-west-1.amazonaws.com/a/b.jpg",
            S3Object("family", "a/b.jpg", "eu-west-1"),
        ),
        ("https://family.s3-us-west-2.amazonaws.com/a", S3Object("family", "a", "us-west-2")),
        (
            "https://my.family.s3.dualstack.us-gov-west-1.amazonaws.com/a",
            S3Object("my.family", "a", "us-gov-west-1"),
        ),
        ("https://b-1.s3.cn-north-1.amazonaws.com.cn/a", S3Object("b-1", "a", "cn-north-1")),
        ("https://s3.amazonaws.com/family/a/b.jpg", S3Object("family", "a/b.jpg")),
        (
            "https://S3.EU-WEST-1.amazonaws.com/family/a%20b%C3%A9.jpg",
            S3Object("family", "a bé.jpg", "eu-west-1"),
        ),
        ("https://family.s3.amazonaws.com//a//b", S3Object("family", "/a//b")),
        ("https://family.s3.amazonaws.com/a%2Bb%3Fc", S3Object("family", "a+b?c")),
    ],
)
def test_objects_are_recognised(url: str, expected: S3Object) -> None:
    """In both styles of URL, with the region where there is one, and the key as it is stored."""
    assert s3_object(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "family/a.jpg",
        "http://family.s3.amazonaws.com/a.jpg",
        "https://example.org/family/a.jpg",
        "https://project.supabase.co/storage/v1/s3/family/a.jpg",
        "https://family.s3.amazonaws.com.example.org/a.jpg",
        "https://example.org#.s3.amazonaws.com/a.jpg",
        "https://s3.amazonaws.com.evil/family/a.jpg",
        "https://family.xs3.amazonaws.com/a.jpg",
        "https://family.s3-accelerate.amazonaws.com/a.jpg",
        "https://family.s3-website-us-east-1.amazonaws.com/a.jpg",
        "https://p-123.s3-accesspoint.us-east-1.amazonaws.com/a.jpg",
        "https://user:secret@family.s3.amazonaws.com/a.jpg",
        "https://family.s3.amazonaws.com:443/a.jpg",
        "https://family.s3.amazonaws.com:x/a.jpg",
        "https://[family.s3.amazonaws.com/a.jpg",
        "https://family.s3.amazonaws.com/a.jpg?versionId=1",
        "https://family.s3.amazonaws.com/a.jpg?",
        "https://family.s3.amazonaws.com/a.jpg#b",
        "https://family.s3.amazonaws.com/a+b.jpg",
        "https://family.s3.amazonaws.com/%ff.jpg",
        "https://family.s3.amazonaws.com/a%00.jpg",
        "https://family.s3.amazonaws.com/" + "a" * 1025,
        "https://family.s3.amazonaws.com/",
        "https://family.s3.amazonaws.com/%20",
        "https://s3.amazonaws.com/family",
        "https://s3.amazonaws.com/Family/a.jpg",
        "https://s3.amazonaws.com/ab/a.jpg",
        "s3://family",
        "s3://family/",
        "s3:///a.jpg",
        "s3://user@family/a.jpg",
        "s3://family:80/a.jpg",
        "s3://arn:aws:s3/a.jpg",
        "s3://family/a.jpg?versionId=1",
    ],
)
def test_all_else_is_not(url: str) -> None:
    """What could name something else, or show what only its bearer may see, is sent as bytes."""
    assert s3_object(url) is None
