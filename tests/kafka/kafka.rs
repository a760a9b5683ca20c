//! Kafka's own programs, run from its jars.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::Process;

/// Names the directory with the jars.
const LIBS: &str = "OTTLA_KAFKA_LIBS";
/// The programs that the texts of an export name, and a few more, by their classes.
const PROGRAMS: [(&str, &str); 5] = [
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-get-offsets.sh", "org.apache.kafka.tools.GetOffsetShell"),
    ("kafka-consumer-groups.sh", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("kafka-dump-log.sh", "org.apache.kafka.tools.DumpLogSegments"),
    ("kafka-storage.sh", "kafka.tools.StorageTool"),
];
/// The tests' own.
const SOURCES: [&str; 4] = ["Committed", "Read", "Send", "Workload"];
/// Programs of which each runs for seconds only.
const OPTIONS: [&str; 4] =
    ["-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"];

/// The jars, and a directory for what is needed to run programs of them.
#[derive(Debug)]
pub(crate) struct Kafka {
    libs: PathBuf,
    dir: TempDir,
}

impl Kafka {
    /// What the environment names; `None` if that is nothing, which it says.
    pub(crate) fn of_environment() -> Option<Kafka> {
        let Some(libs) = env::var_os(LIBS).map(PathBuf::from) else {
            println!("skipped: {LIBS} names no directory with the jars of Kafka 4.4, so there is no broker to ask");
            return None;
        };
        let is_core = |name: String| name.starts_with("kafka_2.13-4.4.");
        let names = fs::read_dir(&libs).unwrap_or_else(|e| panic!("{}: {e}", libs.display()));
        let has_core = names.map(|entry| entry.unwrap().file_name()).any(|name| is_core(name.into_string().unwrap()));
        assert!(has_core, "{} has no kafka_2.13-4.4.*.jar", libs.display());
        let kafka = Kafka { libs: libs.canonicalize().unwrap(), dir: tempfile::tempdir().unwrap() };
        kafka.compile();
        kafka.write_scripts();
        Some(kafka)
    }

    fn classes(&self) -> PathBuf {
        self.dir.path().join("classes")
    }

    fn scripts(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    fn class_path(&self) -> String {
        format!("{}/*:{}", self.libs.display(), self.classes().display())
    }

    /// What every program is started with. Libraries that Kafka unpacks go with the directory.
    fn options(&self) -> Vec<String> {
        let temporary = format!("-Djava.io.tmpdir={}", self.dir.path().display());
        OPTIONS.map(str::to_owned).into_iter().chain([temporary, "-cp".to_owned(), self.class_path()]).collect()
    }

    fn compile(&self) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/java");
        let mut compiler = Command::new("javac");
        compiler.args(["-cp", &self.class_path(), "-d"]).arg(self.classes());
        compiler.args(SOURCES.map(|source| dir.join(source).with_extension("java")));
        self.run(&mut compiler);
    }

    /// The programs under the names that users know.
    fn write_scripts(&self) {
        fs::create_dir(self.scripts()).unwrap();
        for (name, class) in PROGRAMS {
            let path = self.scripts().join(name);
            let options = self.options().join("' '");
            let script = format!("#!/bin/sh\nexec java '{options}' {class} \"$@\"\n");
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }

    /// Starts a program, with what it prints kept.
    pub(crate) fn start(&self, command: &mut Command) -> Process {
        Process::start(command, self.dir.path())
    }

    /// Runs a program, which must succeed, and returns what it printed.
    pub(crate) fn run(&self, command: &mut Command) -> String {
        self.start(command).finish()
    }

    /// The Java program with this main class.
    pub(crate) fn java(&self, class: &str) -> Command {
        let mut java = Command::new("java");
        java.args(self.options()).arg(class);
        java
    }

    /// A program of Kafka's.
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(self.scripts().join(name))
    }

    /// Commands for a shell that finds the programs, the first that fails being the last.
    pub(crate) fn shell(&self, commands: &str) -> Command {
        let path = env::join_paths([self.scripts()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap())));
        let mut shell = Command::new("bash");
        shell.args(["-euc", commands]).env("PATH", path.unwrap());
        shell
    }
}
