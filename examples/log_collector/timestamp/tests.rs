use super::*;

/// 2024-03-01T00:00:00Z.
const MODIFIED: Timestamp = Timestamp::from_millis(1_709_251_200_000);

fn assert_times(cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        let found = timestamp_of(line.as_bytes(), MODIFIED).map(|time| time.to_string());
        assert_eq!(found.as_deref(), Some(*expected), "{line}");
    }
}

#[test]
fn iso_8601_is_understood() {
    assert_times(&[
        ("2024-02-29T12:00:00Z x", "2024-02-29T12:00:00.000Z"),
        ("2024-02-29T12:00:00.123456+02:00 host x", "2024-02-29T10:00:00.123Z"),
        ("[2024-02-29 12:00:00] x", "2024-02-29T12:00:00.000Z"),
        ("level=info ts=2024-02-29T12:00:00-05:30 x", "2024-02-29T17:30:00.000Z"),
        ("{\"time\":\"2024-02-29T12:00:00.5Z\",\"level\":\"info\"}", "2024-02-29T12:00:00.500Z"),
        ("20240229T120000Z x", "2024-02-29T12:00:00.000Z"),
        ("20240229T120000.25+0100 x", "2024-02-29T11:00:00.250Z"),
        ("2016-12-31T23:59:60Z leap second", "2017-01-01T00:00:00.000Z"),
        ("2024-02-29 12:00:00 -9999 is no offset", "2024-02-29T12:00:00.000Z"),
    ]);
}

#[test]
fn the_old_syslog_is_understood() {
    assert_times(&[
        ("Feb 29 12:00:00 host x", "2024-02-29T12:00:00.000Z"),
        ("Mar  1 01:00:00 host x", "2024-03-01T01:00:00.000Z"),
        ("Dec 31 23:59:59 host x", "2023-12-31T23:59:59.000Z"),
        ("<34>Oct 11 22:14:15 mymachine su: x", "2023-10-11T22:14:15.000Z"),
        ("Oct 11 2003 22:14:15 router x", "2003-10-11T22:14:15.000Z"),
    ]);
}

#[test]
fn the_new_syslog_is_understood() {
    assert_times(&[
        ("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - x", "2003-10-11T22:14:15.003Z"),
        ("2024-02-29T12:00:00.123456+00:00 host sshd[1]: x", "2024-02-29T12:00:00.123Z"),
    ]);
}

#[test]
fn nginx_and_apache_are_understood() {
    assert_times(&[
        ("127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /\"", "2000-10-10T20:55:36.000Z"),
        (
            "2001:0db8:85a3:0000:0000:8a2e:0370:7334 - a.long.name.of.a.user@example.com [10/Oct/2000:13:55:36 +0000] \"GET /\"",
            "2000-10-10T13:55:36.000Z",
        ),
        ("2024/02/29 12:00:00 [error] 1234#0: *5 open() failed", "2024-02-29T12:00:00.000Z"),
        ("[Wed Oct 11 14:32:52 2000] [error] [client 127.0.0.1] x", "2000-10-11T14:32:52.000Z"),
        ("[Fri Sep 09 10:42:29.902022 2011] [core:error] x", "2011-09-09T10:42:29.902Z"),
    ]);
}

#[test]
fn log4j_and_python_are_understood() {
    assert_times(&[
        ("2024-02-29 12:00:00,007 [main] INFO x", "2024-02-29T12:00:00.007Z"),
        ("INFO  2024-02-29 12:00:00,007 [main] x", "2024-02-29T12:00:00.007Z"),
        ("29 Feb 2024 12:00:00,007 [main] INFO x", "2024-02-29T12:00:00.007Z"),
        ("29-Feb-2024 12:00:00.007 INFO [main] org.apache.catalina x", "2024-02-29T12:00:00.007Z"),
    ]);
}

#[test]
fn go_is_understood() {
    assert_times(&[
        ("2009/11/10 23:00:00 x", "2009-11-10T23:00:00.000Z"),
        ("2009/11/10 23:00:00.123456 main.go:7: x", "2009-11-10T23:00:00.123Z"),
        ("time=\"2009-11-10T23:00:00Z\" level=info msg=x", "2009-11-10T23:00:00.000Z"),
        ("2009-11-10 23:00:00.1 +0100 CET m=+0.01 x", "2009-11-10T22:00:00.100Z"),
        ("Tue Nov 10 23:00:00 UTC 2009 x", "2009-11-10T23:00:00.000Z"),
        ("Tue, 10 Nov 2009 23:00:00 +0100 x", "2009-11-10T22:00:00.000Z"),
    ]);
}

#[test]
fn klog_is_understood() {
    assert_times(&[
        ("I0229 15:04:05.123456       1 main.go:10] x", "2024-02-29T15:04:05.123Z"),
        ("E1231 23:59:59.000001   77 main.go:10] x", "2023-12-31T23:59:59.000Z"),
    ]);
}

#[test]
fn numbers_since_1970_are_understood() {
    assert_times(&[
        ("1709208000 x", "2024-02-29T12:00:00.000Z"),
        ("[1709208000] x", "2024-02-29T12:00:00.000Z"),
        ("1709208000.25 x", "2024-02-29T12:00:00.250Z"),
        ("1709208000250 x", "2024-02-29T12:00:00.250Z"),
        ("1709208000250999 x", "2024-02-29T12:00:00.250Z"),
        ("1709208000250999999 x", "2024-02-29T12:00:00.250Z"),
        ("{\"level\":\"info\",\"ts\":1709208000.25,\"msg\":\"x\"}", "2024-02-29T12:00:00.250Z"),
        ("{\"level\":30,\"time\":1709208000250,\"pid\":1}", "2024-02-29T12:00:00.250Z"),
        ("type=LOGIN msg=audit(1709208000.250:77): x", "2024-02-29T12:00:00.250Z"),
    ]);
}

#[test]
fn what_is_no_time_is_none() {
    for line in [
        "",
        "x",
        "2024",
        "2024-13-01T00:00:00Z",
        "2023-02-29 00:00:00",
        "2024-02/29 00:00:00",
        "12:00:00 x",
        "Foo 12 00:00:00",
        "170920800 x",
        "17092080001 x",
        "1709208000abcdef x",
        "<34",
        "<34>",
        "\u{1f980}",
        "I0229",
        "[Wed Oct",
    ] {
        assert_eq!(timestamp_of(line.as_bytes(), MODIFIED), None, "{line}");
    }
}

#[test]
fn a_time_before_1970_is_none() {
    for line in ["time=\"0001-01-01T00:00:00Z\" level=info", "1969-12-31 23:59:59 x", "1970-01-01T00:00:00+01:00 x"] {
        assert_eq!(timestamp_of(line.as_bytes(), MODIFIED), None, "{line}");
    }
    assert_times(&[("1970-01-01T00:00:00Z x", "1970-01-01T00:00:00.000Z")]);
}

#[test]
fn the_29th_of_february_is_of_the_last_leap_year() {
    let modified = Timestamp::from_millis(1_767_225_600_000);
    let found = timestamp_of(b"Feb 29 12:00:00 host x", modified).map(|time| time.to_string());
    assert_eq!(found.as_deref(), Some("2024-02-29T12:00:00.000Z"));
}

#[test]
fn a_user_may_say_how_long_ago_or_which_day() {
    for (text, expected) in [
        ("90s", "2024-02-29T23:58:30.000Z"),
        ("15m", "2024-02-29T23:45:00.000Z"),
        ("2h", "2024-02-29T22:00:00.000Z"),
        ("1d", "2024-02-29T00:00:00.000Z"),
        ("2024-02-28", "2024-02-28T00:00:00.000Z"),
        ("2024-02-28T12:00:00+01:00", "2024-02-28T11:00:00.000Z"),
        ("1709208000", "2024-02-29T12:00:00.000Z"),
    ] {
        assert_eq!(point_in_time(text, MODIFIED).map(|time| time.to_string()).as_deref(), Some(expected), "{text}");
    }
    for text in ["", "h", "yesterday", "-1d", "2024-02-30"] {
        assert_eq!(point_in_time(text, MODIFIED), None, "{text}");
    }
}
