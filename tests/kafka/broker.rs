//! A broker of Kafka's: one node that is its own controller, on ports of the loopback that the system chose, in a temporary directory.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::kafka::Kafka;
use crate::process::{LIMIT, Process};

/// A name as the tool for storage makes them: 16 bytes in base 64.
const CLUSTER_ID: &str = "b3R0bGEtdGVzdHMtYS1iYw";
/// Internal topics as small as they can be, and whatever is done now and then done soon.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
num.network.threads=1
num.io.threads=2
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.backoff.ms=100
log.cleaner.dedupe.buffer.size=4194304
log.flush.start.offset.checkpoint.interval.ms=100
log.segment.delete.delay.ms=0
log.initial.task.delay.ms=100
auto.create.topics.enable=false
";

/// A broker, which may run.
#[derive(Debug)]
pub(crate) struct KafkaBroker<'k> {
    pub(crate) kafka: &'k Kafka,
    process: Option<Process>,
    port: u16,
    dir: TempDir,
}

impl<'k> KafkaBroker<'k> {
    /// One with nothing in it, started.
    pub(crate) fn started(kafka: &'k Kafka) -> KafkaBroker<'k> {
        let mut broker = KafkaBroker { kafka, process: None, port: 0, dir: tempfile::tempdir().unwrap() };
        broker.configure();
        let mut format = kafka.program("kafka-storage.sh");
        kafka.run(format.args(["format", "--cluster-id", CLUSTER_ID, "--config"]).arg(broker.settings()));
        broker.start();
        broker
    }

    /// Its log directory.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Where clients find it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn settings(&self) -> PathBuf {
        self.dir.path().join("server.properties")
    }

    /// Gives it ports that are free now.
    fn configure(&mut self) {
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, controller] = free.map(|listener| listener.local_addr().unwrap().port());
        self.port = port;
        let settings = format!(
            "{SETTINGS}listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\nlog.dirs={}\n",
            self.log_dir().display()
        );
        fs::write(self.settings(), settings).unwrap();
    }

    /// Starts it, on ports of which nobody has taken one in between.
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "it runs");
        for _ in 0..10 {
            self.configure();
            let mut process = self.kafka.start(self.kafka.java("kafka.Kafka").arg(self.settings()));
            if self.is_up(&mut process) {
                self.process = Some(process);
                return;
            }
            let said = process.said();
            assert!(said.contains("BindException") || said.contains("Address already in use"), "{said}");
        }
        panic!("other programs take each port before the broker does");
    }

    /// Waits until it listens; false if it has ended.
    fn is_up(&self, process: &mut Process) -> bool {
        let since = Instant::now();
        while process.ended().is_none() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            assert!(since.elapsed() < LIMIT, "{}", process.said());
            thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// Stops it cleanly.
    pub(crate) fn stop(&mut self) {
        let status = self.process.take().unwrap().terminate();
        assert!(self.log_dir().join(".kafka_cleanshutdown").is_file(), "no clean end: {status}");
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().kill();
        assert!(!self.log_dir().join(".kafka_cleanshutdown").exists());
    }

    /// Runs one of the tests' own Java programs on it.
    pub(crate) fn ask<'a>(&self, class: &str, words: impl IntoIterator<Item = &'a str>) -> String {
        self.kafka.run(self.kafka.java(class).arg(self.address()).args(words))
    }
}
