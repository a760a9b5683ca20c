//! Gives every line of a file a time: its own, or that of the line it belongs to.

use ottla::Timestamp;

use crate::timestamp::timestamp_of;

/// Where a line's time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dating {
    /// The line says it.
    Own,
    /// It belongs to the line before: a stack trace, say, or what is indented.
    Belongs,
    /// It stands on its own, and its time was not understood.
    NotUnderstood,
}

impl Dating {
    pub(crate) const ALL: [Dating; 3] = [Dating::Own, Dating::Belongs, Dating::NotUnderstood];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Dating::Own => "own",
            Dating::Belongs => "belongs",
            Dating::NotUnderstood => "unknown",
        }
    }

    pub(crate) fn of_name(name: &[u8]) -> Option<Dating> {
        Dating::ALL.into_iter().find(|dating| dating.name().as_bytes() == name)
    }
}

/// What is remembered from line to line of a file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastTime {
    /// The last time that a line said.
    pub(crate) time: Option<Timestamp>,
    /// The last lines were a trace, of which not every line can be told from others by itself.
    pub(crate) is_in_trace: bool,
}

impl LastTime {
    /// The time of the next line of a file that was `modified` then. A line without a time of its own gets that of the last
    /// line that had one; before there was any, the time of the file.
    pub(crate) fn date(&mut self, line: &[u8], modified: Timestamp) -> (Timestamp, Dating) {
        if let Some(time) = timestamp_of(line, modified) {
            *self = LastTime { time: Some(time), is_in_trace: false };
            return (time, Dating::Own);
        }
        self.is_in_trace |= opens_trace(line);
        let belongs = self.is_in_trace || is_continuation(line);
        // Of a file with a time before 1970, 1970 has to do.
        let time = self.time.unwrap_or(modified.max(Timestamp::from_millis(0)));
        (time, if belongs { Dating::Belongs } else { Dating::NotUnderstood })
    }
}

/// Whether all lines up to the next one with a time belong to a trace that `line` begins.
fn opens_trace(line: &[u8]) -> bool {
    const OPENINGS: [&[u8]; 5] =
        [b"Traceback (most recent call last)", b"panic: ", b"goroutine ", b"Caused by: ", b"Exception in thread "];
    let name_end = line.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"._$".contains(byte));
    let (name, rest) = line.split_at(name_end.unwrap_or(line.len()));
    let is_exception = (name.ends_with(b"Exception") || name.ends_with(b"Error"))
        && (rest.is_empty() || rest.starts_with(b": "))
        && name.first().is_some_and(u8::is_ascii_alphabetic);
    is_exception || OPENINGS.iter().any(|opening| line.starts_with(opening))
}

/// Whether `line` does not stand on its own: it is empty, indented, or closes what was opened before.
fn is_continuation(line: &[u8]) -> bool {
    line.first().is_none_or(|first| b" \t\r})]".contains(first))
        || line.starts_with(b"at ")
        || line.starts_with(b"... ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: Timestamp = Timestamp::from_millis(1_709_251_200_000);

    fn datings(lines: &[&str]) -> Vec<(i64, Dating)> {
        let mut last = LastTime::default();
        lines
            .iter()
            .map(|line| {
                let (time, dating) = last.date(line.as_bytes(), MODIFIED);
                (time.as_millis() / 1000, dating)
            })
            .collect()
    }

    #[test]
    fn a_stack_trace_takes_the_time_of_its_line() {
        let found = datings(&[
            "1709208000 ERROR failed",
            "java.lang.IllegalStateException: x",
            "\tat a.B.c(B.java:1)",
            "Caused by: java.io.IOException: y",
            "\t... 7 more",
            "1709208001 INFO on",
        ]);
        assert!(found[1..5].iter().all(|found| *found == (1_709_208_000, Dating::Belongs)), "{found:?}");
        assert_eq!((found[0], found[5]), ((1_709_208_000, Dating::Own), (1_709_208_001, Dating::Own)));
    }

    #[test]
    fn traces_of_python_and_go_go_on_to_the_next_time() {
        for trace in [
            ["Traceback (most recent call last):", "  File \"x.py\", line 1", "ValueError: x"],
            ["panic: runtime error", "goroutine 1 [running]:", "main.main()"],
        ] {
            let found = datings(&[&["1709208000 x"], trace.as_slice()].concat());
            assert!(found[1..].iter().all(|found| *found == (1_709_208_000, Dating::Belongs)), "{found:?}");
        }
    }

    #[test]
    fn a_line_that_stands_on_its_own_is_not_understood() {
        let found = datings(&["x", "1709208000 x", "y", "  indented", "", "time=\"0001-01-01T00:00:00Z\" none"]);
        assert_eq!(found[0], (1_709_251_200, Dating::NotUnderstood));
        assert_eq!(found[2], (1_709_208_000, Dating::NotUnderstood));
        assert_eq!((found[3].1, found[4].1, found[5].1), (Dating::Belongs, Dating::Belongs, Dating::NotUnderstood));
    }

    #[test]
    fn a_file_from_before_1970_dates_no_line_before_1970() {
        let (time, _) = LastTime::default().date(b"x", Timestamp::from_millis(-1));
        assert_eq!(time.as_millis(), 0);
    }

    #[test]
    fn names_go_there_and_back() {
        for dating in Dating::ALL {
            assert_eq!(Dating::of_name(dating.name().as_bytes()), Some(dating));
        }
    }
}
