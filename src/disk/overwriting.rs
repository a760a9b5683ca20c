//! Which file systems write what is overwritten to where it was.
//!
//! Only there a store through a map can never need room on the disk. Others write it elsewhere, always (btrfs, ZFS) or where
//! blocks are shared with another file (XFS with reflinks, which can come to be shared at any later time), and a full disk then
//! ends the process with a signal. So this is a list of those that are known not to.

/// Types as the system names them. XFS is not among them: what it was made with does not show here.
#[cfg(target_os = "linux")]
const IN_PLACE: [&str; 4] = ["ext2", "ext3", "ext4", "tmpfs"];

/// Whether the file system with this device number is known to overwrite in place.
#[cfg(target_os = "linux")]
pub(super) fn is_in_place(device: u64) -> bool {
    let Ok(mounts) = std::fs::read("/proc/self/mountinfo") else { return false };
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    // A part of btrfs has a number of its own, which is not found there.
    type_of(&device, &String::from_utf8_lossy(&mounts)).is_some_and(|kind| IN_PLACE.contains(&kind))
}

/// The type of the mounted file system with a device number, as `/proc/self/mountinfo` has them: `36 35 98:0 / /mnt rw - ext3 ...`.
#[cfg(target_os = "linux")]
fn type_of<'m>(device: &str, mounts: &'m str) -> Option<&'m str> {
    let line = mounts.lines().find(|line| line.split(' ').nth(2) == Some(device))?;
    line.split_once(" - ")?.1.split(' ').next()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_file_system_is_found_by_its_device() {
        let mounts = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
                      27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard\n\
                      31 1 0:40 /@home /home rw - btrfs /dev/vdb rw\n";
        assert_eq!(type_of("254:0", mounts), Some("ext4"));
        assert_eq!(type_of("0:40", mounts), Some("btrfs"));
        assert_eq!(type_of("54:0", mounts), None);
        assert_eq!(type_of("0:41", mounts), None, "a subvolume has another number");
        assert_eq!(type_of("0:40", "0:40"), None);
    }

    #[test]
    fn what_is_not_known_does_not_count_as_in_place() {
        assert!(!is_in_place(u64::MAX));
    }
}
