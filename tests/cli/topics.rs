//! `ottla topics`.

use crate::run::{live, looks_at, on};

#[test]
fn the_list_is_in_the_order_of_names() {
    let live = live(|broker| {
        for name in ["zebra", "ant"] {
            broker.topic(name).unwrap();
        }
    });
    let names = |said: crate::run::Said| {
        said.json_lines().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["ant", "busy", "busy-ledger", "zebra"];
    assert_eq!(names(on(live.path(), "topics list")), all);
    let dir = live.end();
    assert_eq!(names(looks_at(dir.path(), "topics list")), all);
}
