use super::*;
use crate::disk::os::OsDisk;

fn create(catalog: &mut Catalog, name: &str, config: TopicConfig) -> Result<CatalogEntry> {
    let topic_id = catalog.new_topic_id();
    catalog.add(name, topic_id, config).cloned()
}

fn open(dir: &Path) -> Result<Catalog> {
    Catalog::open(Arc::new(OsDisk::new()), dir)
}

fn names(catalog: &Catalog) -> Vec<&str> {
    catalog.topics.keys().map(|name| &**name).collect()
}

#[test]
fn what_was_created_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).unwrap();
    let orders = create(&mut catalog, "orders", TopicConfig::new().partitions(3)).unwrap().clone();
    create(&mut catalog, "__consumer_offsets", TopicConfig::new()).unwrap();
    drop(catalog);

    let catalog = open(dir.path()).unwrap();
    assert_eq!(names(&catalog), ["__consumer_offsets", "orders"]);
    assert_eq!(catalog.get("orders"), Some(&orders));
    assert!(!catalog.fell_back());
}

#[test]
fn ids_are_never_reserved_or_shared() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path()).unwrap();
    let ids: std::collections::BTreeSet<_> = (0..1000).map(|_| catalog.new_topic_id()).collect();
    assert_eq!(ids.len(), 1000);
    assert!(ids.into_iter().all(|id| id >= FIRST_TOPIC_ID && !has_dash(id)));
}

#[test]
fn a_dash_is_found_in_every_digit() {
    assert!(!has_dash(0));
    assert!(!has_dash(u128::MAX), "that is the digit '_'");
    for digit in 0..21 {
        assert!(has_dash(62 << (122 - 6 * digit)), "{digit}");
    }
}

#[test]
fn a_refused_topic_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).unwrap();
    create(&mut catalog, "orders", TopicConfig::new()).unwrap();
    let before = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
    assert!(matches!(create(&mut catalog, "orders", TopicConfig::new()), Err(Error::TopicExists { .. })));
    assert!(matches!(create(&mut catalog, "Orders", TopicConfig::new()), Err(Error::InvalidTopic { .. })));
    let no_partitions = TopicConfig::new().partitions(0);
    assert!(matches!(create(&mut catalog, "other", no_partitions), Err(Error::InvalidConfig { .. })));
    assert_eq!(names(&catalog), ["orders"]);
    assert_eq!(std::fs::read(dir.path().join(FILE_NAME)).unwrap(), before);
}

#[test]
fn a_name_is_free_when_its_files_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).unwrap();
    let first = create(&mut catalog, "orders", TopicConfig::new()).unwrap().topic_id;
    catalog.finish_delete("orders").unwrap();
    assert!(catalog.get("orders").is_some(), "a live topic is not removed");

    catalog.begin_delete("orders").unwrap();
    let mut catalog = open(dir.path()).unwrap();
    assert_eq!(catalog.get("orders"), None);
    assert_eq!(names(&catalog), ["orders"]);
    assert!(matches!(catalog.begin_delete("orders"), Err(Error::UnknownTopic { .. })));
    assert!(matches!(create(&mut catalog, "orders", TopicConfig::new()), Err(Error::TopicExists { .. })));

    catalog.finish_delete("orders").unwrap();
    assert_ne!(create(&mut catalog, "orders", TopicConfig::new()).unwrap().topic_id, first);
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).unwrap();
    let id = create(&mut catalog, "orders", TopicConfig::new().partitions(2)).unwrap().topic_id;
    assert_eq!(catalog.alter("orders", TopicConfig::new().partitions(5)).unwrap().topic_id, id);
    let fewer = catalog.alter("orders", TopicConfig::new().partitions(4));
    assert!(matches!(fewer, Err(Error::InvalidConfig { key: PARTITIONS, .. })));
    assert!(matches!(catalog.alter("absent", TopicConfig::new()), Err(Error::UnknownTopic { .. })));
    assert_eq!(open(dir.path()).unwrap().get("orders").unwrap().config.partitions, 5);
}

#[test]
fn reading_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open_read_only(Arc::new(OsDisk::new()), dir.path()).unwrap();
    assert!(names(&catalog).is_empty());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_catalog_that_is_gone_is_not_taken_for_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("orders-0")).unwrap();
    std::fs::write(dir.path().join("orders-0/partition.metadata"), "version: 0").unwrap();
    assert!(matches!(open(dir.path()), Err(Error::Corrupt(_))));
    assert!(!dir.path().join(FILE_NAME).exists());
    std::fs::remove_file(dir.path().join("orders-0/partition.metadata")).unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn directories_of_partitions_are_known_by_their_names() {
    for (name, is_one) in
        [("orders-0", true), ("a-b-12", true), ("orders", false), ("-1", false), ("lost+found", false), ("a-x", false)]
    {
        assert_eq!(partition_dir::names_a_partition(std::ffi::OsStr::new(name)), is_one, "{name}");
    }
}

#[test]
fn the_generation_before_stands_in_for_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).unwrap();
    create(&mut catalog, "first", TopicConfig::new()).unwrap();
    create(&mut catalog, "second", TopicConfig::new()).unwrap();
    let path = dir.path().join(FILE_NAME);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let catalog = open(dir.path()).unwrap();
    assert!(catalog.fell_back());
    assert_eq!(names(&catalog), ["first"]);
}

#[test]
fn a_damaged_catalog_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let path = dir.path().join(FILE_NAME);
    std::fs::write(&path, [0; 100]).unwrap();
    assert!(matches!(open(dir.path()), Err(Error::Corrupt(_))));
    assert_eq!(std::fs::read(&path).unwrap(), [0; 100]);
}

#[test]
fn contents_that_cannot_be_are_refused_whatever_the_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    generations::store(&OsDisk::new(), &path, KIND, &[7; 30]).unwrap();
    assert!(matches!(open(dir.path()), Err(Error::Corrupt(_))));
}

#[test]
fn a_topic_that_is_not_filled_yet_cannot_be_used_and_keeps_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = open(dir.path()).unwrap();
    let topic_id = catalog.new_topic_id();
    catalog.add_unfilled("new", topic_id, TopicConfig::new()).unwrap();
    let empty = create(&mut catalog, "empty", TopicConfig::new().partitions(2)).unwrap();
    catalog.begin_filling("empty").unwrap();
    assert_eq!(catalog.live_topics().count(), 0);
    assert!(matches!(create(&mut catalog, "new", TopicConfig::new()), Err(Error::TopicExists { .. })));
    drop(catalog);

    // One of them a crash removes, and the other one is empty again.
    let mut catalog = open(dir.path()).unwrap();
    assert_eq!(catalog.being_deleted().map(|(name, _)| &**name).collect::<Vec<_>>(), ["new"]);
    assert_eq!(catalog.being_filled().map(|(name, _)| &**name).collect::<Vec<_>>(), ["empty"]);
    for name in ["new", "empty"] {
        catalog.finish_filling(name, TopicConfig::new().partitions(2)).unwrap();
    }
    assert_eq!(catalog.get("empty"), Some(&empty));
    assert_eq!(catalog.get("new").unwrap().topic_id, topic_id);
}
