//! Memory that shows a file: [`Mapping`] read-only, [`SharedMapping`] for reading and writing, [`FollowedMapping`] for what another
//! process is writing; and [`ProcessMark`], a page that tells a process from its forks.
//!
//! On the operating system both are maps; on the simulated disk both are heap memory. The only unsafe code of this layer that
//! reads files is [`Mapping::bytes`], and the rules that make it sound are kept by `append_file.rs`:
//!
//! - only bytes below the published length are ever asked for;
//! - published bytes never change, and the file is never cut below them while a map of it may live.
//!
//! A [`SharedMapping`] hands out a pointer and nothing else; who dereferences it (`tail/slot.rs`) owns the rules. A
//! [`FollowedMapping`] hands out values that were loaded atomically, and never a reference.
#![allow(unsafe_code, reason = "one of the two files that may; see the rules above")]
#![allow(clippy::disallowed_types, reason = "this is what wraps them")]

#[cfg(any(test, feature = "testing"))]
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
#[cfg(any(test, feature = "testing"))]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

/// A read-only view of a file from its start. It keeps the memory alive, not the file's handle.
pub(crate) struct Mapping {
    memory: Memory,
}

enum Memory {
    /// Shows the file as it is now; may reach beyond its end.
    Mapped(MmapRaw),
    /// A copy of the file as it was.
    Copied(Arc<[u8]>),
}

impl Mapping {
    /// Wraps a map of the operating system.
    pub(in crate::disk) fn mapped(map: MmapRaw) -> Mapping {
        Mapping { memory: Memory::Mapped(map) }
    }

    /// Wraps a copy of the file's bytes: later appends do not show in it.
    pub(in crate::disk) fn copied(bytes: Arc<[u8]>) -> Mapping {
        Mapping { memory: Memory::Copied(bytes) }
    }

    /// Bytes of address space, which may be more than the file has.
    pub(crate) fn len(&self) -> usize {
        match &self.memory {
            Memory::Mapped(map) => map.len(),
            Memory::Copied(bytes) => bytes.len(),
        }
    }

    /// Whether bytes appended to the file after this was made can be seen in it.
    pub(in crate::disk) fn follows_file(&self) -> bool {
        matches!(self.memory, Memory::Mapped(_))
    }

    /// The bytes of `range`; empty if the range leaves the map.
    ///
    /// For [`SharedBytes`](super::SharedBytes) only, which is made for published ranges only.
    #[inline]
    pub(in crate::disk) fn bytes(&self, range: Range<usize>) -> &[u8] {
        match &self.memory {
            Memory::Mapped(map) => {
                if range.start > range.end || range.end > map.len() {
                    return &[];
                }
                // SAFETY: The range lies inside the map (checked above), which lives as long as `self`. It is below the
                // published length, so the file has these bytes and nobody changes or cuts them (`AppendFile` keeps both).
                unsafe { std::slice::from_raw_parts(map.as_ptr().add(range.start), range.end - range.start) }
            }
            Memory::Copied(bytes) => bytes.get(range).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("len", &self.len()).field("follows_file", &self.follows_file()).finish()
    }
}

/// A piece of a file mapped for reading and writing: what is stored there is in the file, and survives the process. Or
/// [memory](SharedMapping::apart) in the place of one.
pub(crate) struct SharedMapping {
    memory: SharedMemory,
}

enum SharedMemory {
    Mapped(MmapRaw),
    /// The pages, and how many bytes of them were asked for.
    #[cfg(any(test, feature = "testing"))]
    Heap(HeapPages, usize),
}

impl SharedMapping {
    /// Wraps a writable map of the operating system.
    pub(in crate::disk) fn mapped(map: MmapRaw) -> SharedMapping {
        SharedMapping { memory: SharedMemory::Mapped(map) }
    }

    /// Memory of its own, all zeros, which no file shows: for files that are written by calls.
    ///
    /// # Errors
    /// If there is no memory left.
    pub(crate) fn apart(bytes: usize) -> io::Result<SharedMapping> {
        Ok(SharedMapping::mapped(MmapOptions::new().len(bytes).map_anon()?.into()))
    }

    /// Wraps the first `bytes` bytes of memory that the simulated disk looks at, too.
    #[cfg(any(test, feature = "testing"))]
    pub(in crate::disk) fn heap(pages: HeapPages, bytes: usize) -> SharedMapping {
        let bytes = bytes.min(pages.len());
        SharedMapping { memory: SharedMemory::Heap(pages, bytes) }
    }

    /// The first byte, aligned to 4096. Valid for reads and writes of [`len`](Self::len) bytes while `self` lives; nobody
    /// else in this process writes there, apart from `write_at` on the same file.
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        match &self.memory {
            SharedMemory::Mapped(map) => map.as_mut_ptr(),
            #[cfg(any(test, feature = "testing"))]
            SharedMemory::Heap(pages, _) => pages.as_ptr(),
        }
    }

    /// Says that bytes `start..start + bytes` may be stored into from now on: the simulated disk looks nowhere else.
    #[cfg_attr(
        not(any(test, feature = "testing")),
        allow(unused_variables, clippy::unused_self, reason = "maps show all")
    )]
    pub(crate) fn touch(&self, start: usize, bytes: usize) {
        #[cfg(any(test, feature = "testing"))]
        if let SharedMemory::Heap(pages, _) = &self.memory {
            pages.touch(start, bytes);
        }
    }

    /// Bytes that are mapped.
    pub(crate) fn len(&self) -> usize {
        match &self.memory {
            SharedMemory::Mapped(map) => map.len(),
            #[cfg(any(test, feature = "testing"))]
            SharedMemory::Heap(_, bytes) => *bytes,
        }
    }
}

impl fmt::Debug for SharedMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMapping").field("len", &self.len()).finish()
    }
}

/// A piece of a file mapped read-only, into which another process may be storing at any moment.
///
/// It lies within the file as that was when it was mapped. If somebody cuts the file shorter while it is mapped, a load from what
/// is gone ends the process with a signal: nothing of this crate does that, and of others nothing is promised.
pub(crate) struct FollowedMapping {
    memory: SharedMemory,
}

impl FollowedMapping {
    /// Whether words can be loaded here: only where they are no wider than a pointer are loads promised to work on memory that
    /// cannot be written.
    pub(in crate::disk) const IS_SUPPORTED: bool = size_of::<usize>() >= size_of::<u64>();

    /// Wraps a map of the operating system that lies within its file.
    pub(in crate::disk) fn mapped(map: MmapRaw) -> FollowedMapping {
        FollowedMapping { memory: SharedMemory::Mapped(map) }
    }

    /// Wraps the memory into which holders of a [`SharedMapping`] on the simulated disk store.
    #[cfg(any(test, feature = "testing"))]
    pub(in crate::disk) fn heap(mapping: SharedMapping) -> FollowedMapping {
        FollowedMapping { memory: mapping.memory }
    }

    /// The big-endian word at byte `at`, a multiple of 8, as it is now; `None` where the map has none. What was stored before it by
    /// whoever stored it with Release is seen by whatever is loaded afterwards.
    pub(crate) fn word(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes().get(at..at.checked_add(size_of::<u64>())?)?;
        let word: *const AtomicU64 = bytes.as_ptr().cast();
        if !word.is_aligned() {
            return None;
        }
        // SAFETY: Eight bytes of the map begin there, aligned, and are reached only atomically as long as `self` is borrowed.
        let word = unsafe { &*word }.load(Ordering::Relaxed);
        // Apart from the load: one with Acquire is not promised to work on memory that cannot be written.
        fence(Ordering::Acquire);
        Some(u64::from_be(word))
    }

    /// Appends the bytes of `range` to `to`, each as it is at some moment of the call; nothing if the range leaves the map.
    /// Whatever is loaded afterwards is not older.
    pub(crate) fn copy(&self, range: Range<usize>, to: &mut Vec<u8>) {
        let bytes = self.bytes().get(range).unwrap_or_default();
        // SAFETY: Every eight bytes that are aligned are a word, and any bits are a valid one.
        let (head, words, rest) = unsafe { bytes.align_to::<AtomicU64>() };
        let load = |byte: &AtomicU8| byte.load(Ordering::Relaxed);
        to.reserve(bytes.len());
        to.extend(head.iter().map(load));
        for word in words {
            to.extend_from_slice(&u64::from_be(word.load(Ordering::Relaxed)).to_be_bytes());
        }
        to.extend(rest.iter().map(load));
        fence(Ordering::Acquire);
    }

    /// The whole map, of which each load may find something else.
    fn bytes(&self) -> &[AtomicU8] {
        let (start, bytes): (*const u8, usize) = match &self.memory {
            SharedMemory::Mapped(map) => (map.as_ptr(), map.len()),
            #[cfg(any(test, feature = "testing"))]
            SharedMemory::Heap(pages, bytes) => (pages.as_ptr(), *bytes),
        };
        // SAFETY: So many bytes are mapped there as long as `self` lives, and the file had them when it was mapped. Who changes them
        // is another process, or on the simulated disk somebody who may be seen in part; atomics allow for both.
        unsafe { std::slice::from_raw_parts(start.cast(), bytes) }
    }
}

impl fmt::Debug for FollowedMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowedMapping").field("len", &self.bytes().len()).finish()
    }
}

/// Tells the process that made it from one that was forked off since, which has a copy of all memory, shares the files and
/// maps, and has none of the other threads.
///
/// On Linux that takes one load: the mark is a word in a page that the kernel hands to a child as zeros. Other Unix systems,
/// and Linux before 4.14, are asked for the process id each time; elsewhere nothing forks.
pub(crate) struct ProcessMark {
    /// [`OURS`](Self::OURS) in the process that made this, or [`UNKNOWN`](Self::UNKNOWN) everywhere.
    ///
    /// It may be in `page`, and then lives as long as that: no reference to it leaves this type.
    word: &'static AtomicU32,
    page: Option<MmapRaw>,
    process: u32,
}

impl ProcessMark {
    const OURS: u32 = 1;
    const UNKNOWN: u32 = 0;

    /// A mark of this process.
    pub(crate) fn new() -> ProcessMark {
        let Some(page) = page_wiped_on_fork() else { return ProcessMark::without_page() };
        // SAFETY: A page is mapped there, aligned and zeroed, of which nothing but this word is ever used, and only as an
        // atomic. It stays mapped as long as `page`, which the reference does not outlive.
        let word: &'static AtomicU32 = unsafe { AtomicU32::from_ptr(page.as_mut_ptr().cast()) };
        word.store(ProcessMark::OURS, Ordering::Relaxed);
        ProcessMark { word, page: Some(page), process: std::process::id() }
    }

    /// A mark for systems that wipe no page.
    fn without_page() -> ProcessMark {
        static SAME_IN_ALL: AtomicU32 =
            AtomicU32::new(if cfg!(unix) { ProcessMark::UNKNOWN } else { ProcessMark::OURS });
        ProcessMark { word: &SAME_IN_ALL, page: None, process: std::process::id() }
    }

    /// Whether this process was forked off from the one that made the mark.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.word.load(Ordering::Relaxed) != ProcessMark::OURS && self.is_of_another_process()
    }

    #[cold]
    fn is_of_another_process(&self) -> bool {
        // A wiped page says so by itself: in a namespace of its own, a child may even have its parent's id.
        self.page.is_some() || std::process::id() != self.process
    }
}

impl fmt::Debug for ProcessMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessMark").field("process", &self.process).finish_non_exhaustive()
    }
}

/// A page of zeros of this process alone, and of zeros again in each child; `None` where there is no such thing.
#[cfg(all(target_os = "linux", not(miri)))]
fn page_wiped_on_fork() -> Option<MmapRaw> {
    use rustix::mm::{Advice, madvise};
    let page = MmapRaw::from(memmap2::MmapMut::map_anon(size_of::<AtomicU32>()).ok()?);
    // SAFETY: The range is this private anonymous page, of which nothing is used yet. The call changes nothing in this process.
    let advised = unsafe { madvise(page.as_mut_ptr().cast(), page.len(), Advice::LinuxWipeOnFork) };
    advised.is_ok().then_some(page)
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn page_wiped_on_fork() -> Option<MmapRaw> {
    None
}

/// Heap memory aligned like a map, seen both by the simulated disk and by the holder of a [`SharedMapping`].
///
/// The disk looks at it only inside calls to it. A store that runs at the same time may be seen in part, as a drive may see
/// it.
#[cfg(any(test, feature = "testing"))]
#[derive(Clone)]
pub(in crate::disk) struct HeapPages(Arc<Heap>);

#[cfg(any(test, feature = "testing"))]
struct Heap {
    pages: Box<[Page]>,
    /// Which pages may have been stored into.
    touched: Box<[AtomicBool]>,
}

#[cfg(any(test, feature = "testing"))]
thread_local! {
    /// Memory that was used and is zeros again: simulated machines come and go by the thousand.
    static USED: RefCell<Vec<Box<[Page]>>> = const { RefCell::new(Vec::new()) };
}

#[cfg(any(test, feature = "testing"))]
impl Drop for Heap {
    fn drop(&mut self) {
        const USED_MAX: usize = 4;
        let touched = self.pages.iter().zip(&self.touched).filter(|(_, touched)| touched.load(Ordering::Relaxed));
        touched.flat_map(|(page, _)| &page.0).for_each(|word| word.store(0, Ordering::Relaxed));
        let pages = std::mem::take(&mut self.pages);
        // No thread-local memory is left to a thread that ends.
        _ = USED.try_with(|used| {
            let mut used = used.borrow_mut();
            if used.len() < USED_MAX {
                used.push(pages);
            }
        });
    }
}

/// Atomics, because they are changed while shared.
#[cfg(any(test, feature = "testing"))]
#[repr(C, align(4096))]
struct Page([AtomicU64; 512]);

#[cfg(any(test, feature = "testing"))]
impl HeapPages {
    /// Zeroed memory of at least `bytes` bytes.
    pub(in crate::disk) fn zeroed(bytes: usize) -> HeapPages {
        let count = bytes.div_ceil(size_of::<Page>());
        let used = USED.with_borrow_mut(|used| used.pop_if(|pages| pages.len() == count));
        let pages = used.unwrap_or_else(|| (0..count).map(|_| Page([const { AtomicU64::new(0) }; 512])).collect());
        HeapPages(Arc::new(Heap { pages, touched: (0..count).map(|_| AtomicBool::new(false)).collect() }))
    }

    /// Bytes of memory, a multiple of 4096.
    pub(in crate::disk) fn len(&self) -> usize {
        self.0.pages.len() * size_of::<Page>()
    }

    fn touch(&self, start: usize, bytes: usize) {
        let pages = start / size_of::<Page>()..(start + bytes).div_ceil(size_of::<Page>());
        self.0.touched.iter().take(pages.end).skip(pages.start).for_each(|page| page.store(true, Ordering::Relaxed));
    }

    /// Where the pages begin that may have been stored into.
    pub(in crate::disk) fn touched(&self) -> impl Iterator<Item = usize> {
        let pages = self.0.touched.iter().enumerate();
        pages.filter(|(_, page)| page.load(Ordering::Relaxed)).map(|(number, _)| number * size_of::<Page>())
    }

    /// Whether nobody else holds this memory any more.
    pub(in crate::disk) fn is_unshared(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }

    /// Copies the bytes from `position` on as they are now, and returns how many there were.
    pub(in crate::disk) fn load(&self, buffer: &mut [u8], position: usize) -> usize {
        let count = buffer.len().min(self.len().saturating_sub(position));
        if count > 0 {
            // SAFETY: Both have `count` bytes from there on, and a buffer that is borrowed mutably is no part of the memory.
            unsafe { self.as_ptr().add(position).copy_to_nonoverlapping(buffer.as_mut_ptr(), count) };
        }
        count
    }

    /// Stores `bytes` from byte `position` on; what leaves the memory is dropped.
    pub(in crate::disk) fn store(&self, bytes: &[u8], position: usize) {
        let count = bytes.len().min(self.len().saturating_sub(position));
        if count > 0 {
            self.touch(position, count);
            // SAFETY: Both have `count` bytes from there on; the memory may be written while shared, being atomics.
            unsafe { self.as_ptr().add(position).copy_from(bytes.as_ptr(), count) };
        }
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.pages.as_ptr().cast_mut().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_mapping_gives_its_bytes_and_nothing_beyond() {
        let mapping = Mapping::copied(Arc::from(&b"hello"[..]));
        assert_eq!(mapping.bytes(1..4), b"ell");
        assert_eq!(mapping.bytes(1..6), b"");
        assert!(!mapping.follows_file());
    }

    #[test]
    fn a_mapped_range_that_leaves_the_map_is_empty() {
        let map = memmap2::MmapOptions::new().len(4096).map_anon().unwrap();
        let mapping = Mapping::mapped(map.into());
        assert_eq!(mapping.bytes(4095..4096), [0]);
        assert_eq!(mapping.bytes(4095..4097), b"");
        let (start, end) = (3, 2);
        assert_eq!(mapping.bytes(start..end), b"");
    }

    #[test]
    fn a_mark_is_of_the_process_that_made_it() {
        let mark = ProcessMark::new();
        assert!(!mark.is_forked());
        assert_eq!(mark.page.is_some(), cfg!(all(target_os = "linux", not(miri))));
        let wiped = ProcessMark::new();
        wiped.word.store(0, Ordering::Relaxed);
        assert_eq!(wiped.is_forked(), wiped.page.is_some());
    }

    #[test]
    #[cfg(unix)]
    fn where_no_page_is_wiped_the_process_id_tells() {
        let mark = ProcessMark::without_page();
        assert!(!mark.is_forked());
        assert!(ProcessMark { process: mark.process + 1, ..mark }.is_forked());
    }

    #[test]
    fn stores_through_the_pointer_and_through_the_disk_meet() {
        let pages = HeapPages::zeroed(5000);
        let mapping = SharedMapping::heap(pages.clone(), 5000);
        assert_eq!((mapping.len(), pages.len()), (5000, 8192));
        assert_eq!(mapping.as_ptr().addr() % 4096, 0);
        pages.store(b"0123456789", 4091);
        mapping.touch(4093, 1);
        // SAFETY: Inside the mapping, and no other thread looks at it.
        unsafe { mapping.as_ptr().add(4093).write(b'x') };
        let mut bytes = [0; 12];
        assert_eq!(pages.load(&mut bytes, 4090), 12);
        assert_eq!(bytes, *b"\x0001x3456789\0");
        pages.store(b"beyond", 8190);
        pages.store(b"beyond", 10_000);
        assert_eq!(pages.load(&mut bytes, 8190), 2);
        assert_eq!(bytes[..2], *b"be");
        assert_eq!(pages.load(&mut bytes, 10_000), 0);
    }

    #[test]
    fn what_is_stored_is_seen_by_who_follows_and_nothing_beyond_the_map() {
        let shared = SharedMapping::heap(HeapPages::zeroed(4096), 4096);
        let followed = match &shared.memory {
            SharedMemory::Heap(pages, bytes) => FollowedMapping::heap(SharedMapping::heap(pages.clone(), *bytes)),
            SharedMemory::Mapped(_) => unreachable!("it was made of the heap"),
        };
        assert_eq!(followed.word(8), Some(0));
        // SAFETY: Inside the mapping, and no other thread looks at it.
        unsafe { shared.as_ptr().add(8).cast::<[u8; 12]>().write(*b"\0\0\0\0\0\0\0\x07abcd") };
        assert_eq!((followed.word(8), followed.word(9), followed.word(4096)), (Some(7), None, None));
        assert_eq!((followed.word(4089), followed.word(usize::MAX)), (None, None));
        let mut bytes = b"before ".to_vec();
        followed.copy(13..20, &mut bytes);
        followed.copy(4090..4097, &mut bytes);
        assert_eq!(bytes, b"before \0\0\x07abcd");
        let mut all = Vec::new();
        followed.copy(0..4096, &mut all);
        assert_eq!((all.len(), &all[16..20]), (4096, &b"abcd"[..]));
    }

    #[test]
    fn memory_is_unshared_once_the_mapping_is_dropped() {
        let mut pages = HeapPages::zeroed(1);
        let mapping = SharedMapping::heap(pages.clone(), 1);
        assert!(!pages.is_unshared());
        drop(mapping);
        assert!(pages.is_unshared());
    }
}
