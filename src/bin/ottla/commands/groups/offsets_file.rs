//! Offsets as Kafka's tools write them to a file and read them: a line for each partition, `topic,partition,offset`.

use ottla::TopicPartition;

/// Reads such lines. Empty ones count for nothing; each partition may be there once.
pub fn parse(text: &str) -> Result<Vec<(TopicPartition, u64)>, String> {
    let mut offsets: Vec<(TopicPartition, u64)> = Vec::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let (partition, offset) = parse_line(line)
            .ok_or_else(|| format!("line {number} is not topic,partition,offset, such as orders,0,42: {line:?}"))?;
        if offsets.iter().any(|(known, _)| *known == partition) {
            return Err(format!("line {number} names {partition} again"));
        }
        offsets.push((partition, offset));
    }
    if offsets.is_empty() { Err("no line names a partition".to_owned()) } else { Ok(offsets) }
}

fn parse_line(line: &str) -> Option<(TopicPartition, u64)> {
    let fields: Vec<&str> = line.split(',').map(unquoted).collect();
    let &[topic, partition, offset] = fields.as_slice() else { return None };
    if topic.is_empty() {
        return None;
    }
    Some((TopicPartition::new(topic, partition.parse().ok()?), offset.parse().ok()?))
}

/// A field without the quotes that some programs put around it.
fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|field| field.strip_suffix('"')).unwrap_or(field)
}

/// One line. No topic has a comma or quotes in its name.
pub fn line(partition: &TopicPartition, offset: u64) -> String {
    format!("{},{},{offset}", partition.topic(), partition.partition())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let offsets = vec![(TopicPartition::new("orders", 0), 17), (TopicPartition::new("orders", 12), u64::MAX)];
        let text: String = offsets.iter().map(|(partition, offset)| line(partition, *offset) + "\n").collect();
        assert_eq!(text, "orders,0,17\norders,12,18446744073709551615\n");
        assert_eq!(parse(&text), Ok(offsets));
    }

    #[test]
    fn files_of_other_programs_are_read() {
        let orders = |offset| Ok(vec![(TopicPartition::new("orders", 0), offset)]);
        assert_eq!(parse("\r\n\"orders\", 0, 17\r\n\r\n"), orders(17));
    }

    #[test]
    fn what_is_no_such_line_is_named_by_its_number() {
        for (text, line) in [
            ("orders,0", "line 1 is not"),
            ("orders,0,1\norders,1,-1", "line 2 is not"),
            ("\n,0,1", "line 2 is not"),
            ("orders,x,1", "line 1 is not"),
            ("group,orders,0,1", "line 1 is not"),
            ("orders,0,1\norders,0,2", "line 2 names orders-0 again"),
            ("\n", "no line"),
        ] {
            assert!(parse(text).unwrap_err().starts_with(line), "{text:?}: {:?}", parse(text));
        }
    }
}
