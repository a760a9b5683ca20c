//! What is written beside an export, followed to the letter: by somebody who knows nothing else of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::broker::KafkaBroker;

/// How lines begin that are commands, or the first of several.
const COMMANDS: [&str; 3] = ["kafka-", "for ", "lines="];
/// The text's word for the address of the broker.
const ADDRESS: &str = "localhost:9092";

/// An export, and the steps that are left to do with it.
#[derive(Debug)]
pub(crate) struct Steps {
    export: PathBuf,
    steps: Vec<Step>,
}

/// What the text says to do next.
#[derive(Debug)]
struct Step {
    /// How it begins, behind its number.
    verb: String,
    commands: String,
}

impl Steps {
    /// Those that the text beside an export has.
    pub(crate) fn of(export: &Path) -> Steps {
        let text = fs::read_to_string(export.join("README.txt")).unwrap();
        let mut steps: Vec<Step> = Vec::new();
        for block in text.split("\n\n") {
            if let Some(verb) = verb_of(block) {
                steps.push(Step { verb: verb.to_owned(), commands: String::new() });
            } else if COMMANDS.iter().any(|start| block.trim_start().starts_with(start)) {
                let commands = &mut steps.last_mut().unwrap().commands;
                commands.push_str(block);
                commands.push('\n');
            }
        }
        assert!(steps.len() > 4, "{text}");
        Steps { export: export.to_owned(), steps }
    }

    /// Has the broker adopt what was exported: all steps, in their order.
    pub(crate) fn follow(&self, broker: &mut KafkaBroker<'_>) {
        for step in &self.steps {
            match step.verb.as_str() {
                "Stop" => broker.stop(),
                "Start" => broker.start(),
                "Create" | "Put" | "Say" | "Look" => _ = self.run(broker, &step.verb),
                "Set" => self.set_offsets(broker),
                // There is one broker only.
                "Raise" => {}
                _ => panic!("an unknown step: {step:?}"),
            }
        }
    }

    /// Runs the commands of the step that begins with this word, and returns what they print.
    pub(crate) fn run(&self, broker: &KafkaBroker<'_>, verb: &str) -> String {
        let step = self.steps.iter().find(|step| step.verb == verb).unwrap();
        assert!(!step.commands.is_empty(), "there is nothing to run: {step:?}");
        broker.kafka.run(&mut self.shell(broker, &step.commands))
    }

    fn set_offsets(&self, broker: &KafkaBroker<'_>) {
        let commands = fs::read_to_string(self.export.join("committed-offsets.txt")).unwrap();
        let said = broker.kafka.run(self.shell(broker, &commands).current_dir(&self.export));
        assert!(!said.contains("Error"), "{said}");
    }

    /// A shell in which the words of the text stand for this export and this broker.
    fn shell(&self, broker: &KafkaBroker<'_>, commands: &str) -> Command {
        let mut shell = broker.kafka.shell(&commands.replace(ADDRESS, &broker.address()));
        shell.env("EXPORT", &self.export).env("LOG_DIR", broker.log_dir());
        shell
    }
}

/// The word that follows the number, if a step begins here.
fn verb_of(block: &str) -> Option<&str> {
    let (number, text) = block.split_once(". ")?;
    number.parse::<u32>().ok()?;
    text.split(' ').next()
}
