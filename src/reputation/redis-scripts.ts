/**
 * What Redis runs for us: one Lua script for each step, so that every step is whole and can be repeated.
 *
 * The keys are told in redis.ts and docs/redis.md. Nothing here is newer than Redis 7.0, and a script touches one slot only.
 */

export const CHANNEL = 'decoymx:1:changes'
/** Rulings looked at for their end, or let go for want of room, in one call. */
export const SWEEP_MAX = 100

/** Numbers are kept as digits; 15 of them are exact in Lua's doubles. A key of another type is not ours, and goes. */
const LUA = `
local function whole(text)
  return text and #text <= 15 and tonumber(string.match(text, '^%d+$')) or nil
end
local function digits(number)
  return string.format('%.0f', number)
end
local function typed(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
end
local function bucket(text)
  local count, first, last = string.match(text or '', '^(%d+) (%d+) (%d+)$')
  return whole(count), whole(first), whole(last)
end
`

/**
 * Adds the tallies that are not in yet and returns the buckets; without tallies it only reads. ARGV: box, retention,
 * most buckets; then fact, hour, at, seq, times and lane of each tally.
 */
const ADD = `${LUA}
local key, box, retention, most = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local adds = #ARGV > 3
local found = redis.call('TYPE', key).ok
if found ~= 'hash' and found ~= 'none' then
  if not adds then return { 'a ' .. found, '' } end
  redis.call('DEL', key)
end
local record, changed = {}, {}
local stored = redis.call('HGETALL', key)
for i = 1, #stored, 2 do record[stored[i]] = stored[i + 1] end

local forgotten = whole(record['forgotten']) or -1
for i = 4, #ARGV, 6 do
  local fact, at, seq, times = ARGV[i], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local mark = 'seq ' .. box .. '/' .. ARGV[i + 5]
  if seq > (whole(record[mark]) or 0) then
    record[mark], changed[mark] = digits(seq), true
    if at > forgotten then
      local field = fact .. ' ' .. ARGV[i + 1]
      local count, first, last = bucket(record[field])
      if not (count and first and last) then count, first, last = 0, at, at end
      record[field] = digits(count + times) .. ' ' .. digits(math.min(first, at)) .. ' ' .. digits(math.max(last, at))
      changed[field] = true
    end
  end
end

local buckets = {}
for field in pairs(record) do
  local hour = string.match(field, '^%a+%.[%a-]+ (%d+)$')
  if hour then buckets[#buckets + 1] = { tonumber(hour), field } end
end
if #buckets > most then
  table.sort(buckets, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  for i = 1, #buckets - most do
    local field = buckets[i][2]
    if adds then redis.call('HDEL', key, field) end
    record[field], changed[field] = nil, nil
  end
end

for field in pairs(changed) do redis.call('HSET', key, field, record[field]) end
if adds then redis.call('PEXPIRE', key, retention) end
local reply = {}
for field, text in pairs(record) do
  if field ~= 'forgotten' and string.sub(field, 1, 4) ~= 'seq ' then
    reply[#reply + 1] = field
    reply[#reply + 1] = text
  end
end
return reply
`

/** Forgets buckets that began at ARGV[1] or before, and what will still come from then. */
const FORGET = `${LUA}
local key, at = KEYS[1], tonumber(ARGV[1])
typed(key, 'hash')
local stored = redis.call('HGETALL', key)
local forgotten = at
for i = 1, #stored, 2 do
  local field, text = stored[i], stored[i + 1]
  if field == 'forgotten' then
    forgotten = math.max(at, whole(text) or -1)
  elseif string.match(field, '^%a+%.[%a-]+ %d+$') then
    local _, first = bucket(text)
    if not first or first <= at then redis.call('HDEL', key, field) end
  end
end
redis.call('HSET', key, 'forgotten', digits(forgotten))
redis.call('PEXPIRE', key, ARGV[2])
`

/** The cursor only moves on. */
const ADVANCE = `${LUA}
typed(KEYS[1], 'string')
local cursor = math.max(whole(redis.call('GET', KEYS[1]) or '') or 0, tonumber(ARGV[1]))
redis.call('SET', KEYS[1], digits(cursor), 'PX', ARGV[2])
return digits(cursor)
`

const LUA_RULINGS = `${LUA}
local rulings, generation, ends = KEYS[1], KEYS[2], KEYS[3]
typed(rulings, 'hash')
typed(generation, 'string')
typed(ends, 'zset')
local function tell(step)
  local now = digits((whole(redis.call('GET', generation) or '') or 0) + 1)
  redis.call('SET', generation, now)
  redis.call('PUBLISH', '${CHANNEL}', '{"generation":' .. now .. ',' .. step .. '}')
end
local function drop(id)
  redis.call('ZREM', ends, id)
  if redis.call('HDEL', rulings, id) == 1 then tell('"drop":' .. cjson.encode(id)) end
end
`

/** ARGV: id, ruling, its end or nothing, most rulings. Beyond those, the rules' ruling that ends first goes. */
const PUT = `${LUA_RULINGS}
local id, ruling, till, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
redis.call('HSET', rulings, id, ruling)
if till == '' then redis.call('ZREM', ends, id) else redis.call('ZADD', ends, till, id) end
tell('"id":' .. cjson.encode(id) .. ',"put":' .. ruling)
local excess = redis.call('HLEN', rulings) - most
if excess > 0 then
  for _, each in ipairs(redis.call('ZRANGE', ends, 0, ${SWEEP_MAX - 1})) do
    if excess <= 0 then break end
    if string.sub(each, 1, 6) == 'rules ' then
      drop(each)
      excess = excess - 1
    end
  end
end
`

const DROP = `${LUA_RULINGS}
drop(ARGV[1])
`

/** Drops rulings that ended at ARGV[1] or before, ARGV[2] of them at most, and says how many there were. */
const SWEEP = `${LUA_RULINGS}
local over = redis.call('ZRANGEBYSCORE', ends, '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(over) do drop(id) end
return #over
`

export const SCRIPTS = {
  decoymxAdd: { numberOfKeys: 1, lua: ADD },
  decoymxForget: { numberOfKeys: 1, lua: FORGET },
  decoymxAdvance: { numberOfKeys: 1, lua: ADVANCE },
  decoymxPut: { numberOfKeys: 3, lua: PUT },
  decoymxDrop: { numberOfKeys: 3, lua: DROP },
  decoymxSweep: { numberOfKeys: 3, lua: SWEEP },
}
