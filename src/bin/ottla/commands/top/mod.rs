//! `ottla top`: what goes on in a directory, looked at again and again, beside whoever writes it.

mod history;
mod sample;
mod screen;

use std::io;
use std::time::{Duration, Instant};

use clap::Args;
use ottla::{Broker, Metrics};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use self::history::History;
use self::sample::Sample;
use crate::failure::Failure;
use crate::output::{self, Format, Output, time};
use crate::place::Place;

#[derive(Debug, Args)]
pub struct Top {
    /// How long to wait between two looks, such as 500ms or 10s
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// End after so many looks
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// A window with more takes gigabytes: some terminals that have no size say that they have the largest that there is.
const CELLS_MAX: u32 = 4 << 20;

fn interval(text: &str) -> Result<Duration, String> {
    let interval = time::duration(text)?;
    let is_allowed = (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&interval);
    if is_allowed { Ok(interval) } else { Err("expected 100ms to 1h".to_owned()) }
}

impl Top {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let broker = place.read()?;
        let mut looks = Looks { before: broker.metrics(), broker };
        match output.format() {
            Format::Table if output.look().is_terminal => self.show(&mut looks),
            Format::Table => {
                Err(Failure::refused("the live view needs a terminal: take --output jsonl, for a line a look"))
            }
            Format::Json | Format::Jsonl => self.write(&mut looks),
        }
    }

    /// A line of JSON for each look.
    fn write(&self, looks: &mut Looks) -> Result<(), Failure> {
        let mut left = self.count;
        while left.is_none_or(|left| 0 < left) {
            std::thread::sleep(self.interval);
            output::json_line(&looks.next()?)?;
            left = left.map(|left| left - 1);
        }
        Ok(())
    }

    /// The live view.
    fn show(&self, looks: &mut Looks) -> Result<(), Failure> {
        let (columns, rows) = ratatui::crossterm::terminal::size().map_err(|error| of_terminal(&error))?;
        if CELLS_MAX < u32::from(columns) * u32::from(rows) {
            return Err(Failure::refused(format_args!(
                "a window of {columns} columns and {rows} rows cannot be drawn"
            )));
        }
        let mut terminal = ratatui::try_init().map_err(|error| of_terminal(&error))?;
        let shown = self.show_on(&mut terminal, looks);
        ratatui::restore();
        shown
    }

    fn show_on(&self, terminal: &mut ratatui::DefaultTerminal, looks: &mut Looks) -> Result<(), Failure> {
        let mut history = History::new(looks.broker.dir().display().to_string(), self.interval);
        let (mut due, mut left) = (Instant::now() + self.interval, self.count);
        loop {
            terminal.draw(|frame| screen::draw(frame, &history)).map_err(|error| of_terminal(&error))?;
            if left == Some(0) {
                return Ok(());
            }
            match key_until(due).map_err(|error| of_terminal(&error))? {
                Key::Quit => return Ok(()),
                Key::Sort => history.sort_by_next(),
                Key::Pause => history.is_paused = !history.is_paused,
                Key::Down => history.scroll(1),
                Key::Up => history.scroll(-1),
                Key::Other => {}
                Key::None => {
                    due = Instant::now() + self.interval;
                    let sample = looks.next()?;
                    if !history.is_paused {
                        history.add(sample);
                    }
                    left = left.map(|left| left - 1);
                }
            }
        }
    }
}

/// Looks at a directory, each with what has changed since the one before.
struct Looks {
    broker: Broker,
    before: Metrics,
}

impl Looks {
    fn next(&mut self) -> Result<Sample, Failure> {
        if let Some(error) = self.broker.admin().health().broker_error {
            return Err(Failure::from(error).midway());
        }
        let now = self.broker.metrics();
        let sample = Sample::of(&self.before, &now);
        self.before = now;
        Ok(sample)
    }
}

/// What a key asks for.
enum Key {
    Quit,
    Sort,
    Pause,
    Down,
    Up,
    Other,
    /// None was pressed.
    None,
}

/// Waits for a key, until `due` at most.
fn key_until(due: Instant) -> io::Result<Key> {
    if !event::poll(due.saturating_duration_since(Instant::now()))? {
        return Ok(Key::None);
    }
    let Event::Key(key) = event::read()? else { return Ok(Key::Other) };
    if key.kind == KeyEventKind::Release {
        return Ok(Key::Other);
    }
    Ok(match key.code {
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Char('s') => Key::Sort,
        KeyCode::Char('p' | ' ') => Key::Pause,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        _ => Key::Other,
    })
}

fn of_terminal(error: &io::Error) -> Failure {
    Failure::failed(format_args!("cannot draw on the terminal: {error}"))
}
