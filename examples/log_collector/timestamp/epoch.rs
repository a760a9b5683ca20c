//! Times that are numbers since 1970.

/// What stands before such a number, besides nothing at all.
const NAMES: [&[u8]; 7] = [b"ts", b"time", b"timestamp", b"@timestamp", b"epoch", b"t", b"audit"];
const NAMES_WITHIN: usize = 160;

/// The number at the beginning of the line, or behind a name: `1714979289`, `ts=1714979289.123`, `"time":1714979289123`,
/// `audit(1714979289.123:7)`. Its length tells the unit. From 2001 to 2286, in which these lengths are one each.
pub(super) fn epoch(line: &[u8]) -> Option<i64> {
    let bare = line.iter().position(|byte| !b"[(\"' ".contains(byte)).unwrap_or(0);
    if let Some(ms) = number(line.get(bare..)?) {
        return Some(ms);
    }
    let line = line.get(..NAMES_WITHIN).unwrap_or(line);
    let mut word_start = None;
    for (at, &byte) in line.iter().enumerate() {
        if byte.is_ascii_alphanumeric() || byte == b'@' {
            word_start = word_start.or(Some(at));
        } else if let Some(start) = word_start.take()
            && NAMES.contains(&line.get(start..at)?)
        {
            let rest = line.get(at..)?;
            let value = rest.iter().position(|byte| !b"\"=: (".contains(byte))?;
            if let Some(ms) = number(rest.get(value..)?) {
                return Some(ms);
            }
        }
    }
    None
}

fn number(text: &[u8]) -> Option<i64> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(length);
    // A longer word that begins with digits is something else, as an address or a hash is.
    if rest.first().is_some_and(|byte| byte.is_ascii_alphabetic() || b"_-/".contains(byte))
        || text.first() == Some(&b'0')
    {
        return None;
    }
    let value =
        number.iter().try_fold(0_i64, |value, digit| value.checked_mul(10)?.checked_add(i64::from(digit - b'0')))?;
    match length {
        10 => {
            let mut fraction = rest;
            Some(value * 1000 + super::parse::fraction(&mut fraction))
        }
        13 => Some(value),
        16 => Some(value / 1000),
        19 => Some(value / 1_000_000),
        _ => None,
    }
}
