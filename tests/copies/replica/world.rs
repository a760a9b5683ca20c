//! A broker that keeps a replica itself, and the two disks.

use ottla::testing::{FaultKind, FaultRule, Operation, SimulatedDisk};
use ottla::{Broker, Durability, ReplicaOptions};

use super::{SECOND, on};
use crate::directories::{DATA, builder};

pub(super) struct World {
    pub(super) disk: SimulatedDisk,
    pub(super) second: SimulatedDisk,
}

impl World {
    pub(super) fn new() -> World {
        World { disk: SimulatedDisk::new(1), second: SimulatedDisk::new(2) }
    }

    pub(super) fn open(&self) -> Broker {
        self.open_with(self.options()).unwrap()
    }

    pub(super) fn options(&self) -> ReplicaOptions {
        on(&self.second)
    }

    pub(super) fn open_with(&self, options: ReplicaOptions) -> ottla::Result<Broker> {
        builder(&self.disk, DATA).durability(Durability::Always).replica_with(SECOND, options).open()
    }

    /// What is left once the power has gone on both disks, and nothing that was not synced is there any more.
    pub(super) fn cut(&self) -> World {
        World { disk: cut(&self.disk), second: cut(&self.second) }
    }

    pub(super) fn fail_second(&self, operation: Operation) {
        self.second.fail(FaultRule::new(FaultKind::InputOutput).on(operation).path_containing(SECOND).forever());
    }
}

pub(super) fn cut(disk: &SimulatedDisk) -> SimulatedDisk {
    disk.crash_after(0)
}
