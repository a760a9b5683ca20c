//! How bad a line says that it is.

/// Levels are looked for in this many bytes at the beginning of a line.
const LEVEL_WITHIN: usize = 256;
/// The length of `emergency`, the longest name.
const WORD_BYTES_MAX: usize = 9;

/// How many lines have each level, in the order of [`Level::ALL`].
pub(crate) type LevelCounts = [u64; Level::ALL.len()];

/// From the worst on. `Unknown` where a line does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
    Unknown,
}

impl Level {
    pub(crate) const ALL: [Level; 7] =
        [Level::Fatal, Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace, Level::Unknown];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Level::Fatal => "fatal",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
            Level::Unknown => "unknown",
        }
    }

    pub(crate) fn of_name(name: &[u8]) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name().as_bytes() == name)
    }

    /// What a line names first: syslog's priority, klog's letter, or a word that is the name of a level.
    pub(crate) fn of_line(line: &[u8]) -> Level {
        let head = line.get(..LEVEL_WITHIN).unwrap_or(line);
        if let Some(level) = of_priority(head).or_else(|| of_klog(head)) {
            return level;
        }
        let words = head.split(|byte| !byte.is_ascii_alphabetic());
        let mut words = words.filter(|word| (3..=WORD_BYTES_MAX).contains(&word.len()));
        words.find_map(Level::of_word).unwrap_or(Level::Unknown)
    }

    /// The level that `word` names, in large or small letters. Most words of a line come here, and are none.
    pub(crate) fn of_word(word: &[u8]) -> Option<Level> {
        // PostgreSQL's name for an ordinary message; in small letters it is just a word.
        if word == b"LOG" {
            return Some(Level::Info);
        }
        let mut small = [0; WORD_BYTES_MAX];
        let small = small.get_mut(..word.len())?;
        small.copy_from_slice(word);
        small.make_ascii_lowercase();
        match &*small {
            b"fatal" | b"crit" | b"critical" | b"alert" | b"emerg" | b"emergency" | b"panic" => Some(Level::Fatal),
            b"error" | b"err" | b"severe" => Some(Level::Error),
            b"warn" | b"warning" => Some(Level::Warn),
            b"info" | b"notice" => Some(Level::Info),
            b"debug" => Some(Level::Debug),
            b"trace" => Some(Level::Trace),
            _ => None,
        }
    }
}

/// `<34>`: facility times eight plus severity.
fn of_priority(line: &[u8]) -> Option<Level> {
    let rest = line.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
    let number: u8 = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok().filter(|number| *number < 192)?;
    Some(match number % 8 {
        0..=2 => Level::Fatal,
        3 => Level::Error,
        4 => Level::Warn,
        5 | 6 => Level::Info,
        _ => Level::Debug,
    })
}

/// `W1122 `: a letter, month and day.
fn of_klog(line: &[u8]) -> Option<Level> {
    let (letter, rest) = line.split_first()?;
    let (date, rest) = rest.split_first_chunk::<4>()?;
    let is_klog = date.iter().all(u8::is_ascii_digit) && rest.first() == Some(&b' ');
    match letter {
        b'I' if is_klog => Some(Level::Info),
        b'W' if is_klog => Some(Level::Warn),
        b'E' if is_klog => Some(Level::Error),
        b'F' if is_klog => Some(Level::Fatal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_level_named_counts() {
        for (line, expected) in [
            ("2024-02-29 12:00:00 [main] INFO no error here", Level::Info),
            ("level=warning msg=x", Level::Warn),
            ("kernel: <err> x", Level::Error),
            ("2024-02-29 LOG:  database system is ready", Level::Info),
            ("wrote the log", Level::Unknown),
            ("errors are not an err or", Level::Error),
            ("CRITICAL: x", Level::Fatal),
            ("", Level::Unknown),
        ] {
            assert_eq!(Level::of_line(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn priorities_and_letters_are_levels() {
        for (line, expected) in [
            ("<34>Oct 11 22:14:15 host su: failed", Level::Fatal),
            ("<187>x", Level::Error),
            ("<191>x", Level::Debug),
            ("<192>x", Level::Unknown),
            ("<>x", Level::Unknown),
            ("I1122 15:04:05.000000 1 a.go:1] an error", Level::Info),
            ("F1122 15:04:05.000000 1 a.go:1] x", Level::Fatal),
            ("X1122 15:04:05.000000 x", Level::Unknown),
            ("I112", Level::Unknown),
        ] {
            assert_eq!(Level::of_line(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn names_go_there_and_back() {
        for level in Level::ALL {
            assert_eq!(Level::of_name(level.name().as_bytes()), Some(level));
        }
        assert_eq!(Level::of_name(b"loud"), None);
    }
}
