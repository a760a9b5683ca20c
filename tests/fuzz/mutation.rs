//! Inputs made of other inputs, as a number decides.

/// `SplitMix64`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 (included) to `end` (excluded); 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

/// What lengths, counts and offsets go wrong at.
const INTERESTING: [i64; 14] = [
    -2,
    -1,
    0,
    1,
    0x7f,
    0x80,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX - 1,
    i64::MAX,
    i64::MIN,
];

/// The mutation of this number: one of the inputs, with one to eight changes.
pub(crate) fn mutated(inputs: &[Vec<u8>], seed: u64, number: u64) -> Vec<u8> {
    let mut random = Random::new(seed.rotate_left(32) ^ number);
    let mut bytes = inputs[random.below(inputs.len())].clone();
    for _ in 0..=random.below(8) {
        change(&mut bytes, inputs, &mut random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, inputs: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(8) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.byte();
            }
        }
        2 => {
            let value = INTERESTING[random.below(INTERESTING.len())].to_be_bytes();
            let width = [1, 2, 4, 8][random.below(4)];
            bytes[at..].iter_mut().zip(&value[8 - width..]).for_each(|(to, from)| *to = *from);
        }
        3 => {
            let byte = random.byte();
            bytes.insert(at, byte);
        }
        4 => {
            let end = bytes.len().min(at + 1 + random.below(8));
            bytes.drain(at..end);
        }
        5 => bytes.truncate(at),
        6 => {
            let piece: Vec<u8> = bytes[at..].iter().copied().take(1 + random.below(64)).collect();
            let to = random.below(bytes.len());
            bytes.splice(to..to, piece);
        }
        _ => {
            // The end of another input.
            let other = &inputs[random.below(inputs.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.below(other.len())..]);
        }
    }
}
