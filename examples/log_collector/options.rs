//! What the user asks for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use ottla::Timestamp;

use crate::keep::Keep;
use crate::level::Level;
use crate::timestamp::point_in_time;

/// Without files or folders, so much is collected at most.
const DEFAULT_MEGABYTES: u64 = 200;
const SETTLE: Duration = Duration::from_secs(5);
/// A thousand years: for ever, and still a time that can be added to others.
const HOURS_MAX: u64 = 1000 * 365 * 24;
/// Several of the longest lines fit, beside what the log needs for itself.
const KEEP_MEGABYTES_MIN: u64 = 64;

pub(crate) const HELP: &str = "\
Collects the lines of log files into a log, each line once, however often it runs and however the files are rotated.

usage: log_collector [OPTION]... [FILE or FOLDER]...

Without files or folders: at most 200 MB of /var/log, and what cannot be read there is no failure.

  --data DIR      where the log is kept (default: ottla-logs in the folder for temporary files)
  --follow        go on until Ctrl-C, and show the lines as they come
  --since TIME    show lines from then on, also of earlier runs: 2024-05-06T07:08:09Z, 2024-05-06, or 90s, 15m, 2h, 3d ago
  --level LEVEL   show lines of this level and worse: fatal, error, warn, info, debug, trace
  --verify        at the end, compare what was collected with the files, line by line
  --settle N      take a last line without an end if the file has not changed for so many seconds (default: 5)
  --max-mb N      collect at most so many megabytes
  --keep-hours N  delete lines that are older than so many hours; what is older already stays for so long from now on
  --keep-mb N     let DIR take so many megabytes of the disk, 64 at least; the oldest lines make room for new ones
  --help          this

What is shown is chosen; everything is collected. What --keep-hours and --keep-mb say holds for one run, also for lines of
earlier ones; without them nothing is deleted. Ends with 0, with 1 if something could not be read or is not as it should
be, and with 2 for a wrong option.";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Collect(Options),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) data_dir: PathBuf,
    pub(crate) is_following: bool,
    pub(crate) since: Option<Timestamp>,
    pub(crate) level: Option<Level>,
    pub(crate) is_verifying: bool,
    /// So long after its last change a file's last line is whole, and a copy is made.
    pub(crate) settle: Duration,
    pub(crate) bytes_max: u64,
    pub(crate) keep: Keep,
    /// None were given: then the logs of the machine are collected.
    pub(crate) paths: Vec<PathBuf>,
}

impl Command {
    /// Reads the arguments, of which the first one is not the program's name. What is wrong is said in one line.
    pub(crate) fn parse(args: impl IntoIterator<Item = OsString>, now: Timestamp) -> Result<Command, String> {
        let mut options = Options {
            data_dir: std::env::temp_dir().join("ottla-logs"),
            is_following: false,
            since: None,
            level: None,
            is_verifying: false,
            settle: SETTLE,
            bytes_max: 0,
            keep: Keep::default(),
            paths: Vec::new(),
        };
        let mut megabytes = None;
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--help" | "-h") => return Ok(Command::Help),
                Some("--follow") => options.is_following = true,
                Some("--verify") => options.is_verifying = true,
                Some("--data") => options.data_dir = args.next().ok_or("--data needs a folder")?.into(),
                Some("--since") => {
                    let time = text(args.next(), "--since")?;
                    options.since = Some(point_in_time(&time, now).ok_or(format!("--since: {time:?} is no time"))?);
                }
                Some("--level") => {
                    let level = text(args.next(), "--level")?;
                    options.level =
                        Some(Level::of_word(level.as_bytes()).ok_or(format!("--level: {level:?} is no level"))?);
                }
                Some("--settle") => options.settle = Duration::from_secs(number(args.next(), "--settle")?),
                Some("--max-mb") => megabytes = Some(number(args.next(), "--max-mb")?),
                Some("--keep-hours") => options.keep.age = Some(hours(args.next(), "--keep-hours")?),
                Some("--keep-mb") => options.keep.bytes = Some(budget(args.next(), "--keep-mb")?),
                Some("--") => options.paths.extend(args.by_ref().map(PathBuf::from)),
                Some(option) if option.starts_with('-') && option.len() > 1 => {
                    return Err(format!("{option:?} is no option; --help tells which there are"));
                }
                _ => options.paths.push(arg.into()),
            }
        }
        let default_megabytes = if options.paths.is_empty() { DEFAULT_MEGABYTES } else { u64::MAX };
        options.bytes_max = megabytes.unwrap_or(default_megabytes).saturating_mul(1_000_000);
        Ok(Command::Collect(options))
    }
}

fn number(arg: Option<OsString>, option: &str) -> Result<u64, String> {
    let number = text(arg, option)?;
    number.parse().map_err(|_| format!("{option}: {number:?} is no number"))
}

fn hours(arg: Option<OsString>, option: &str) -> Result<Duration, String> {
    match number(arg, option)? {
        0 => Err(format!("{option}: at least 1")),
        hours => Ok(Duration::from_secs(hours.saturating_mul(3600).min(HOURS_MAX * 3600))),
    }
}

fn budget(arg: Option<OsString>, option: &str) -> Result<u64, String> {
    match number(arg, option)? {
        ..KEEP_MEGABYTES_MIN => Err(format!("{option}: at least {KEEP_MEGABYTES_MIN}")),
        megabytes => Ok(megabytes.saturating_mul(1_000_000)),
    }
}

fn text(arg: Option<OsString>, option: &str) -> Result<String, String> {
    let arg = arg.ok_or(format!("{option} needs a value"))?;
    arg.into_string().map_err(|arg| format!("{option}: {} is no text", arg.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_709_251_200_000);

    fn parse(args: &[&str]) -> Result<Command, String> {
        Command::parse(args.iter().map(OsString::from), NOW)
    }

    fn options(args: &[&str]) -> Options {
        match parse(args).unwrap() {
            Command::Collect(options) => options,
            Command::Help => panic!("help"),
        }
    }

    #[test]
    fn everything_can_be_set() {
        let args = "--data d --follow --since 1h --level warning --verify --settle 7 --max-mb 3 --keep-hours 24 \
                    --keep-mb 1000 a -- --b";
        let set = options(&args.split(' ').collect::<Vec<_>>());
        let expected = Options {
            data_dir: "d".into(),
            is_following: true,
            since: Some(Timestamp::from_millis(NOW.as_millis() - 3_600_000)),
            level: Some(Level::Warn),
            is_verifying: true,
            settle: Duration::from_secs(7),
            bytes_max: 3_000_000,
            keep: Keep { age: Some(Duration::from_secs(86_400)), bytes: Some(1_000_000_000) },
            paths: vec!["a".into(), "--b".into()],
        };
        assert_eq!(set, expected);
    }

    #[test]
    fn only_what_was_not_asked_for_is_limited() {
        assert_eq!(options(&[]).bytes_max, 200_000_000);
        assert_eq!(options(&["a"]).bytes_max, u64::MAX);
    }

    #[test]
    fn help_is_help_wherever_it_stands() {
        assert_eq!(parse(&["--follow", "--help"]), Ok(Command::Help));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for args in [
            &["--loud"][..],
            &["--data"],
            &["--since", "then"],
            &["--level", "loud"],
            &["--max-mb", "x"],
            &["--settle"],
            &["--keep-hours", "0"],
            &["--keep-mb", "63"],
            &["-x"],
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.lines().count() == 1 && error.contains(args[0]), "{error}");
        }
    }
}
