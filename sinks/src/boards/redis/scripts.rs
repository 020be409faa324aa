//! What Redis does in one go: each script writes one key, so that each is atomic and any server will do. Each looks at the
//! owner first, in the same go: whoever slept through a take-over writes nothing more, also no key that the newer one has not
//! written yet. The owner's key is an argument and no `KEYS[2]`: a server in cluster mode would refuse keys of two slots.

macro_rules! unless_overtaken {
    ($script:literal) => {
        concat!(
            r#"
local owner = ARGV[1] ~= '' and redis.call('GET', ARGV[1])
local overtaken = owner and tonumber(string.match(owner, '"generation":(%d+)') or '0') or 0
if overtaken <= tonumber(ARGV[2]) then overtaken = 0 end
"#,
            $script
        )
    };
}

/// ARGV: owner's key or '', our generation, the board's generation and epoch, blob, milliseconds to live or ''. Answers nothing when stored, else the stored
/// generation and epoch, and 1 if it says that it is final; of a newer owner its generation. In JSON a quote inside a text is
/// escaped, so these patterns match the members alone.
pub(super) const PUT: &str = unless_overtaken!(
    r#"
if overtaken > 0 then
  return {overtaken, 0, 0}
end
local stored = redis.call('GET', KEYS[1])
if stored then
  local generation = tonumber(string.match(stored, '"generation":(%d+)') or '0')
  local epoch = tonumber(string.match(stored, '"epoch":(%d+)') or '0')
  local ours = tonumber(ARGV[3])
  if generation > ours or (generation == ours and epoch > tonumber(ARGV[4])) then
    return {generation, epoch, string.find(stored, '"state":"final"', 1, true) and 1 or 0}
  end
end
if ARGV[6] == '' then
  redis.call('SET', KEYS[1], ARGV[5])
else
  redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[6])
end
return {}
"#
);

/// ARGV: owner's key or '', our generation, generation and epoch of what is current. Deletes a board that is older and does not say that it is final; says whether.
pub(super) const DROP_OUTDATED: &str = unless_overtaken!(
    r#"
if overtaken > 0 or redis.call('TYPE', KEYS[1]).ok ~= 'string' then
  return 0
end
local stored = redis.call('GET', KEYS[1])
local state = string.match(stored, '"state":"(%a+)"')
if not state or state == 'final' then
  return 0
end
local generation = tonumber(string.match(stored, '"generation":(%d+)') or '0')
local epoch = tonumber(string.match(stored, '"epoch":(%d+)') or '0')
local ours = tonumber(ARGV[3])
if generation > ours or (generation == ours and epoch >= tonumber(ARGV[4])) then
  return 0
end
return redis.call('DEL', KEYS[1])
"#
);

/// ARGV: owner's key or '', our generation, label. Labels of one kind sort by time. Answers the generation of a newer owner, or 0.
pub(super) const ADVANCE: &str = unless_overtaken!(
    "
local stored = redis.call('GET', KEYS[1])
if overtaken == 0 and (not stored or stored < ARGV[3]) then
  redis.call('SET', KEYS[1], ARGV[3])
end
return overtaken
"
);

/// ARGV: owner's key or '', our generation, text, milliseconds to live. Answers the generation of a newer owner, or 0.
pub(super) const KEEP: &str = unless_overtaken!(
    "
if overtaken == 0 then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return overtaken
"
);

/// ARGV: what must be stored ('' for nothing), what to store.
pub(super) const SWAP: &str = "
local stored = redis.call('GET', KEYS[1]) or ''
if stored ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
";
