//! `ottla top`.

use std::process::{Command, Stdio};

use crate::run::{free, live, on, start};

#[test]
fn each_look_is_a_line_beside_the_process_that_writes() {
    let live = live(|broker| {
        broker.topic("orders").unwrap().produce("k", "v").unwrap();
        drop(broker.consumer("billing", ["orders"]).unwrap());
    });
    let looks = on(live.path(), "top --output jsonl --interval 100ms --count 3").json_lines();
    assert_eq!(looks.len(), 3);
    for look in looks {
        let topics = look["topics"].as_array().unwrap();
        let orders = topics.iter().find(|topic| topic["topic"] == "orders").unwrap();
        assert_eq!((orders["records"].as_u64(), orders["records_per_second"].as_f64()), (Some(1), Some(0.0)));
        assert!(topics.iter().all(|topic| !topic["topic"].as_str().unwrap().starts_with("__")));
    }
}

#[test]
fn the_live_view_is_for_terminals_and_ends_with_its_reader() {
    let dir = free(|broker| drop(broker.topic("orders").unwrap()));
    assert!(on(&dir, "top --output table").refused().contains("needs a terminal"));
    for interval in ["0s", "50ms", "2h", "soon", "5"] {
        assert!(on(&dir, &format!("top --interval {interval}")).refused().contains("--interval"), "{interval}");
    }
    // It would go on for ever, but for `head`.
    let mut top = Command::new(env!("CARGO_BIN_EXE_ottla"));
    top.arg("--dir").arg(dir.path()).args(["top", "--interval", "100ms"]);
    let mut top = start(top.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut command = Command::new("head");
    let head = start(command.arg("-n1").stdin(top.stdout.take().unwrap()).stdout(Stdio::piped()));
    // It has the other end of the pipe.
    drop(command);
    let head = head.wait_with_output().unwrap();
    assert!(head.stdout.starts_with(b"{"));
    let said = top.wait_with_output().unwrap();
    assert_eq!((said.status.code(), said.stderr.as_slice()), (Some(0), &[][..]));
}
