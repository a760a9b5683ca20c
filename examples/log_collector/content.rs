//! The content of a log file: its bytes, or what they were before gzip compressed them. Positions count in the content, so a
//! log is the same before and after it was compressed.

use std::fs::File;
use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;

use crate::fingerprint::{FINGERPRINT_BYTES, Trail, last};

const GZIP: &[u8] = &[0x1f, 0x8b, 8];
/// How files begin that hold a log in a form that is not read here.
const OTHERS: [(&[u8], &str); 4] = [
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "Zstandard"),
    (b"BZh", "bzip2"),
    (&[0x04, 0x22, 0x4d, 0x18], "LZ4"),
];

/// Read from the beginning on; [`seek`](Content::seek) goes elsewhere.
#[derive(Debug)]
pub(crate) enum Content {
    Plain(File),
    Gzip(Box<Gzip>),
}

/// A compressed content, of which everything up to a position has to be read to get there.
#[derive(Debug)]
pub(crate) struct Gzip {
    file: File,
    decoder: MultiGzDecoder<BufReader<File>>,
    /// What was read through.
    passed: Trail,
    /// Why the content ends before its end.
    damage: Option<String>,
}

/// What a file holds.
#[derive(Debug)]
pub(crate) enum Opened {
    Content(Content),
    /// A compressed log, by the name of what it was compressed with.
    Other(&'static str),
}

impl Content {
    /// Looks at the first bytes to see what `file` holds; its name does not matter.
    pub(crate) fn of(mut file: File) -> io::Result<Opened> {
        let mut magic = Vec::new();
        file.rewind()?;
        (&mut file).take(8).read_to_end(&mut magic)?;
        file.rewind()?;
        if magic.starts_with(GZIP) {
            let decoder = MultiGzDecoder::new(BufReader::new(file.try_clone()?));
            let gzip = Gzip { file, decoder, passed: Trail::default(), damage: None };
            return Ok(Opened::Content(Content::Gzip(Box::new(gzip))));
        }
        let other = OTHERS.iter().find(|(other, _)| magic.starts_with(other) && other.len() < magic.len());
        Ok(other.map_or(Opened::Content(Content::Plain(file)), |(_, name)| Opened::Other(name)))
    }

    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self, Content::Gzip(_))
    }

    /// How long it is now. What is compressed does not say.
    pub(crate) fn length(&self) -> io::Result<Option<u64>> {
        match self {
            Content::Plain(file) => Ok(Some(file.metadata()?.len())),
            Content::Gzip(_) => Ok(None),
        }
    }

    /// The first bytes, up to [`FINGERPRINT_BYTES`].
    pub(crate) fn head(&mut self) -> io::Result<Vec<u8>> {
        self.rewind()?;
        let mut head = Vec::new();
        self.take(FINGERPRINT_BYTES as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    /// Goes to `position` of a content that begins with `head`. `None` if it is shorter.
    pub(crate) fn seek(&mut self, position: u64, head: &[u8]) -> io::Result<Option<Trail>> {
        match self {
            Content::Plain(file) => {
                if file.metadata()?.len() < position {
                    return Ok(None);
                }
                let tail = bytes_before(file, position, FINGERPRINT_BYTES)?;
                Ok(tail.map(|tail| Trail::new(position, head, tail)))
            }
            Content::Gzip(gzip) => {
                if position < gzip.passed.position() {
                    gzip.rewind()?;
                }
                let distance = position - gzip.passed.position();
                io::copy(&mut gzip.take(distance), &mut io::sink())?;
                Ok((gzip.passed.position() == position).then(|| gzip.passed.clone()))
            }
        }
    }

    /// Whether there is nothing behind where the reader is. What it reads to find out is gone.
    pub(crate) fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.read(&mut [0])? == 0)
    }

    /// Whether the last `read` bytes were read behind `before`, which ended at `position`. If not, somebody has emptied the file
    /// and written it anew since `before` was read.
    pub(crate) fn has_read_behind(&mut self, before: &[u8], position: u64, read: usize) -> io::Result<bool> {
        match self {
            Content::Plain(file) => {
                let before = last(before, FINGERPRINT_BYTES);
                let found = bytes_before(file, position, before.len())?;
                file.seek(SeekFrom::Start(position + read as u64))?;
                Ok(found.is_some_and(|bytes| bytes == before))
            }
            Content::Gzip(_) => Ok(true),
        }
    }

    /// Why a content that was read to its end ends before its end: it was compressed, and not all of it is there.
    pub(crate) fn damage(&self) -> Option<&str> {
        match self {
            Content::Plain(_) => None,
            Content::Gzip(gzip) => gzip.damage.as_deref(),
        }
    }

    fn rewind(&mut self) -> io::Result<()> {
        match self {
            Content::Plain(file) => file.rewind(),
            Content::Gzip(gzip) => gzip.rewind(),
        }
    }
}

/// Up to `count` bytes that end at `position`, where the file is read on afterwards; `None` if it has become shorter.
fn bytes_before(file: &mut File, position: u64, count: usize) -> io::Result<Option<Vec<u8>>> {
    let start = position.saturating_sub(count as u64);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(position - start).read_to_end(&mut bytes)?;
    file.seek(SeekFrom::Start(position))?;
    Ok((start + bytes.len() as u64 == position).then_some(bytes))
}

impl Gzip {
    fn rewind(&mut self) -> io::Result<()> {
        self.file.rewind()?;
        self.decoder = MultiGzDecoder::new(BufReader::new(self.file.try_clone()?));
        self.passed = Trail::default();
        self.damage = None;
        Ok(())
    }
}

impl Read for Gzip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.decoder.read(buffer) {
            // What the file holds, and not that it cannot be read.
            Err(error) if matches!(error.kind(), InvalidInput | InvalidData | UnexpectedEof) => {
                self.damage = Some(error.to_string());
                0
            }
            read => read?,
        };
        self.passed.push(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Plain(file) => file.read(buffer),
            Content::Gzip(gzip) => gzip.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::fingerprint::Fingerprint;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn content_of(bytes: &[u8]) -> Content {
        match Content::of(file_of(bytes)).unwrap() {
            Opened::Content(content) => content,
            Opened::Other(name) => panic!("{name}"),
        }
    }

    #[test]
    fn compressed_and_not_it_is_the_same_content() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let two_members = [gzip(&text[..50_000]), gzip(&text[50_000..])].concat();
        for bytes in [text.clone(), gzip(&text), two_members] {
            let mut content = content_of(&bytes);
            let head = content.head().unwrap();
            assert_eq!(head, text[..FINGERPRINT_BYTES]);
            for position in [10, 150_000, 60_000, text.len()] {
                let trail = content.seek(position as u64, &head).unwrap().unwrap();
                assert_eq!(trail.tail_fingerprint(), Fingerprint::of(last(&text[..position], FINGERPRINT_BYTES)));
                let mut rest = Vec::new();
                content.read_to_end(&mut rest).unwrap();
                assert!(rest == text[position..]);
            }
            assert!(content.seek(text.len() as u64 + 1, &head).unwrap().is_none());
        }
    }

    #[test]
    fn a_file_that_is_emptied_and_written_anew_no_longer_has_what_it_had() {
        let mut file = file_of(b"first content");
        let mut content = content_of(b"");
        if let Content::Plain(plain) = &mut content {
            *plain = file.try_clone().unwrap();
        }
        assert!(content.has_read_behind(b"first", 5, 0).unwrap());
        file.set_len(0).unwrap();
        assert!(!content.has_read_behind(b"first", 5, 0).unwrap());
        file.rewind().unwrap();
        file.write_all(b"other content").unwrap();
        assert!(!content.has_read_behind(b"first", 5, 0).unwrap());
    }

    #[test]
    fn what_compressed_it_otherwise_is_named() {
        let xz = [OTHERS[0].0, b"..."].concat();
        assert!(matches!(Content::of(file_of(&xz)).unwrap(), Opened::Other("xz")));
    }

    #[test]
    fn what_is_there_of_a_cut_gzip_file_is_read() {
        let whole = gzip(&b"line\n".repeat(10_000));
        let mut content = content_of(&whole[..whole.len() - 9]);
        let mut read = Vec::new();
        content.read_to_end(&mut read).unwrap();
        assert!(content.damage().is_some());
        assert!(read.starts_with(b"line\nline\n"));
    }
}
