//! Runs the program, and says what came of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use ottla::{Broker, ConsumerConfig, Durability, ProducerRecord, TopicConfig};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The directory that the writing process is to use; set for it only.
pub(crate) const WRITER_DIR: &str = "OTTLA_CLI_WRITER_DIR";

/// Held for writing while a process is started, and for reading while a broker is open here: a process that is about to become another
/// program has the locks of this one until then, and would keep a directory from being free that was closed meanwhile.
static STARTING: RwLock<()> = RwLock::new(());

/// Starts a process, at a moment when no broker is open here. Whoever opens one with the program to follow does that in [`free`].
pub(crate) fn start(command: &mut Command) -> Child {
    let _nobody_has_a_lock = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// A run of the program that is being prepared.
pub(crate) struct Run {
    command: Command,
    stdin: Vec<u8>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// The program with these arguments, and nothing of the environment that could change what it says.
pub(crate) fn ottla<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command.args(arguments).env_remove("OTTLA_DIR").env_remove("OTTLA_OUTPUT").env_remove("NO_COLOR");
    Run { command, stdin: Vec::new() }
}

/// The program on a directory, with arguments that stand in one line.
pub(crate) fn on(dir: impl AsRef<Path>, line: &str) -> Said {
    ottla(line.split_whitespace()).dir(dir).run()
}

impl Run {
    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Run {
        self.command.env("OTTLA_DIR", dir.as_ref());
        self
    }

    /// What it reads; without it nothing.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Run {
        self.stdin = bytes.into();
        self
    }

    /// For whatever else is to be set before it starts.
    pub(crate) fn with(mut self, set: impl FnOnce(&mut Command)) -> Run {
        set(&mut self.command);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Said {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.wait()
    }

    /// Runs it to its end with stdout at a file, so that what it says there is not in the answer.
    pub(crate) fn run_into(mut self, stdout: impl Into<Stdio>) -> Said {
        self.command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        self.wait()
    }

    fn wait(mut self) -> Said {
        let mut child = start(&mut self.command);
        let mut pipe = child.stdin.take().unwrap();
        // Written while its answer is read, or both would wait for each other; it need not want all of it.
        let stdin = thread::spawn(move || _ = pipe.write_all(&self.stdin));
        let output = child.wait_with_output().unwrap();
        stdin.join().unwrap();
        let status = output.status.code().unwrap_or_else(|| panic!("it ended by a signal: {output:?}"));
        Said { status, stdout: output.stdout, stderr: String::from_utf8(output.stderr).unwrap() }
    }
}

impl Said {
    /// It did all that it was asked for, and had nothing to say about it; what is on stdout.
    #[track_caller]
    pub(crate) fn done(&self) -> &str {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{}", self.text());
        self.text()
    }

    /// It did that; the lines of JSON on stdout.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.done().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// It refused to do anything: exit status 2 and one line, which is returned without the name of the program.
    #[track_caller]
    pub(crate) fn refused(&self) -> &str {
        assert_eq!(self.status, 2, "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        self.one_line()
    }

    /// It failed: exit status 1 and one line, which is returned without the name of the program.
    #[track_caller]
    pub(crate) fn failed(&self) -> &str {
        assert_eq!(self.status, 1, "{self:?}");
        self.one_line()
    }

    /// The one line on stderr.
    #[track_caller]
    fn one_line(&self) -> &str {
        let line = self.stderr.strip_prefix("ottla: ").and_then(|line| line.strip_suffix('\n'));
        let line = line.unwrap_or_else(|| panic!("a line of the program's: {self:?}"));
        assert!(!line.contains('\n') && !line.contains("panicked"), "{self:?}");
        line
    }

    /// What is on stdout.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

/// A free directory, filled by `fill`, whose broker is closed.
pub(crate) fn free(fill: impl FnOnce(&Broker)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let _nothing_is_started = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let broker = Broker::builder(dir.path()).background(false).open().unwrap();
    fill(&broker);
    broker.close().unwrap();
    wait_until_free(dir.path());
    dir
}

/// Waits until nobody has the directory's lock. A process that another test starts has it, too, between its fork and its first
/// instruction.
pub(crate) fn wait_until_free(dir: &Path) {
    let lock = fs::File::open(dir.join("ottla.lock")).unwrap();
    while lock.try_lock().is_err() {
        thread::sleep(Duration::from_millis(1));
    }
    // Said, and not left to the end of the handle, which such a process may have as well.
    lock.unlock().unwrap();
}

/// Sends values to a partition, the first one at `timestamp_ms` and each other a second later.
pub(crate) fn send(broker: &Broker, topic: &str, partition: u32, timestamp_ms: i64, values: &[&str]) {
    let partition = broker.existing_topic(topic).unwrap().partition(partition).unwrap();
    for (value, timestamp_ms) in values.iter().zip((timestamp_ms..).step_by(1000)) {
        let timestamp = ottla::Timestamp::from_millis(timestamp_ms);
        partition.append(&ProducerRecord::to(topic).value(*value).timestamp(timestamp)).unwrap();
    }
}

/// A directory that another process has open for writing. It sends to `busy`, a topic of two partitions, as the group `busy-group`
/// reads that and commits, and holds a transaction of `busy-payments` open that has sent to `busy-ledger`; what else is there stays as
/// `fill` left it.
pub(crate) struct Live {
    dir: Option<TempDir>,
    child: Child,
}

/// Such a directory.
pub(crate) fn live(fill: impl FnOnce(&Broker)) -> Live {
    let dir = free(fill);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["writer", "--exact", "--ignored", "--nocapture"]).env(WRITER_DIR, dir.path());
    let mut child = start(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()));
    let (mut said, stderr) = (vec![0; OPEN.len()], child.stderr.as_mut().unwrap());
    if stderr.read_exact(&mut said).is_err() || said != OPEN {
        _ = stderr.read_to_end(&mut said);
        panic!("the process that is to write says: {}", String::from_utf8_lossy(&said));
    }
    Live { dir: Some(dir), child }
}

/// What the writing process says when all is there that it promises.
const OPEN: [u8; 5] = *b"open\n";

impl Live {
    pub(crate) fn path(&self) -> &Path {
        self.dir.as_ref().unwrap().path()
    }

    /// Of the process that writes.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has a command refused since this directory is being written to, with one line that names who does.
    #[track_caller]
    pub(crate) fn refuses(&self, line: &str) {
        let said = on(self.path(), line);
        let reason = said.refused();
        assert!(reason.contains(&format!("process {}", self.pid())), "{line}: {reason}");
    }

    /// Ends the process that writes, which has to go well, and returns the directory, which is free now.
    pub(crate) fn end(mut self) -> TempDir {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
        self.dir.take().unwrap()
    }
}

impl Live {
    /// Ends the process that writes as a crash would, and returns the directory as it has left it.
    pub(crate) fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.dir.take().unwrap()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What the process that writes does, until its stdin ends.
pub(crate) fn write_until_told(dir: &Path) {
    let broker = Broker::builder(dir).open().unwrap();
    broker.topic_with("busy", TopicConfig::new().partitions(2)).unwrap();
    // What is in it can be seen before the transaction has made it durable.
    broker.topic_with("busy-ledger", TopicConfig::new().durability(Durability::Os)).unwrap();
    let mut consumer = broker.consumer_with(ConsumerConfig::new("busy-group").topics(["busy"])).unwrap();
    let mut payments = broker.transactional_producer("busy-payments").unwrap();
    let transaction = payments.begin().unwrap();
    transaction.send(ProducerRecord::to("busy-ledger").value("not yet")).unwrap();
    let mut write = |number: u64| {
        broker.topic("busy").unwrap().produce(number.to_string(), "a record").unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        consumer.commit().unwrap();
    };
    // So that the first of all there is to see can be seen.
    (0..10).for_each(&mut write);
    std::io::stderr().write_all(&OPEN).unwrap();
    let is_told = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            // Its end is the word; so it also ends with the process that started it.
            _ = std::io::stdin().read_to_end(&mut Vec::new());
            is_told.store(true, Ordering::SeqCst);
        });
        for number in 10.. {
            if is_told.load(Ordering::SeqCst) {
                break;
            }
            write(number);
            thread::sleep(Duration::from_millis(2));
        }
    });
    transaction.abort().unwrap();
    consumer.close().unwrap();
    drop(payments);
    broker.close().unwrap();
}

/// All that is in a directory: names, and what is in the files.
pub(crate) fn fingerprint(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut dirs) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                found.insert(path.clone(), Vec::new());
                dirs.push(path);
            } else {
                let hash = Sha256::digest(fs::read(&path).unwrap());
                found.insert(path, hash.to_vec());
            }
        }
    }
    found
}

/// What a command says of a directory that nobody writes to, all of which is as before afterwards.
#[track_caller]
pub(crate) fn looks_at(dir: &Path, line: &str) -> Said {
    let before = fingerprint(dir);
    let said = on(dir, line);
    assert_eq!(fingerprint(dir), before, "{line} has changed something");
    said
}
