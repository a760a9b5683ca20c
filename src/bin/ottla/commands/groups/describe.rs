//! `ottla groups describe`.

use std::io::{self, Write};

use clap::Args;
use ottla::{CommittedOffset, GroupDescription, GroupPartition, MemberDescription};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::table::{Column, Look, Row, write, write_facts};
use crate::output::{Output, Stdout, time};
use crate::place::{self, Place};

#[derive(Debug, Args)]
pub struct Describe {
    /// Which groups; all if none is named
    names: Vec<String>,
}

/// A group, who is in it, and how far it is.
#[derive(Debug, Serialize)]
struct Described {
    name: String,
    state: String,
    generation: i32,
    assignor: Option<String>,
    lag: u64,
    members: Vec<Member>,
    partitions: Vec<Partition>,
}

/// One of its members.
#[derive(Debug, Serialize)]
struct Member {
    member_id: String,
    client_id: String,
    instance_id: Option<String>,
    topics: Vec<String>,
    partitions: usize,
}

/// How far it is in one partition.
#[derive(Debug, Serialize)]
struct Partition {
    topic: String,
    partition: u32,
    committed: Option<u64>,
    committed_at: Option<String>,
    end: u64,
    lag: u64,
    owner: Option<String>,
}

impl Row for Member {
    const HEADER: &'static [&'static str] = &["member", "partitions", "topics", "instance"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![
            // Which begins with the client's.
            (&self.member_id).into(),
            look.count(self.partitions),
            self.topics.join(", ").into(),
            or_dash(self.instance_id.as_ref()),
        ]
    }
}

impl Row for Partition {
    const HEADER: &'static [&'static str] = &["topic", "partition", "committed", "end", "lag", "owner"];

    fn columns(&self, look: Look) -> Vec<Column> {
        vec![
            (&self.topic).into(),
            look.number(self.partition),
            look.number_or_none(self.committed),
            look.number(self.end),
            look.number(self.lag),
            or_dash(self.owner.as_ref()),
        ]
    }
}

fn or_dash(text: Option<&String>) -> Column {
    text.map_or("-", String::as_str).into()
}

impl From<&MemberDescription> for Member {
    fn from(member: &MemberDescription) -> Member {
        Member {
            member_id: member.member_id().to_owned(),
            client_id: member.client_id().to_owned(),
            instance_id: member.group_instance_id().map(str::to_owned),
            topics: member.topics().to_vec(),
            partitions: member.assignment().len(),
        }
    }
}

impl From<&GroupPartition> for Partition {
    fn from(found: &GroupPartition) -> Partition {
        Partition {
            topic: found.topic_partition().topic().to_owned(),
            partition: found.topic_partition().partition(),
            committed: found.committed().map(CommittedOffset::offset),
            committed_at: found.committed().and_then(CommittedOffset::commit_timestamp).map(time::show),
            end: found.end_offset(),
            lag: found.lag(),
            owner: found.owner().map(str::to_owned),
        }
    }
}

impl From<&GroupDescription> for Described {
    fn from(group: &GroupDescription) -> Described {
        Described {
            name: group.name().to_owned(),
            state: group.state().to_string(),
            generation: group.generation(),
            assignor: group.assignor().map(str::to_owned),
            lag: group.total_lag(),
            members: group.members().iter().map(Member::from).collect(),
            partitions: group.partitions().iter().map(Partition::from).collect(),
        }
    }
}

impl Describe {
    pub fn run(&self, place: &Place, output: &Output) -> Result<(), Failure> {
        let broker = place.read()?;
        let groups = super::named(&broker, &self.names)?;
        output.each(&groups.iter().map(Described::from).collect::<Vec<_>>(), show)?;
        place::check_shown(&broker, |partition| groups.iter().any(|group| group.lag(partition).is_some()))
    }
}

fn show(out: &mut Stdout, look: Look, group: &Described) -> io::Result<()> {
    let mut facts = vec![
        ("state", (&group.state).into()),
        ("generation", look.number(group.generation)),
        ("members", look.count(group.members.len())),
        ("lag", look.number(group.lag)),
    ];
    facts.extend(group.assignor.as_ref().map(|assignor| ("assignor", assignor.into())));
    write_facts(out, look, &group.name, facts)?;
    writeln!(out)?;
    if !group.members.is_empty() {
        write(out, look, &group.members)?;
        writeln!(out)?;
    }
    write(out, look, &group.partitions)
}
