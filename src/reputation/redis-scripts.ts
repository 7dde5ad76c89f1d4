/**
 * What Redis runs for us: one Lua script for each step, so that every step is whole and can be repeated.
 *
 * The keys are told in redis-keys.ts and docs/redis.md. Nothing here is newer than Redis 7.0, and a script touches one slot only.
 */
import { CHANNEL } from './redis-keys.ts'

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
 * Adds to each record the tallies that are not in it yet and returns its buckets; without tallies it only reads. KEYS are
 * the records: many, since a call costs more than what it does, but in a Cluster one, for they are in slots of their own.
 * ARGV: box, retention, most buckets; then for each record its tallies, each `fact hour at seq times lane;`.
 */
const ADD = `${LUA}
local box, retention, most = ARGV[1], ARGV[2], tonumber(ARGV[3])

local function add(key, tallies)
  local adds = tallies ~= ''
  local stored = redis.pcall('HGETALL', key)
  if stored.err then
    if not adds then return { 'a ' .. redis.call('TYPE', key).ok, '' } end
    redis.call('DEL', key)
    stored = {}
  end
  local record, changed, fields = {}, {}, #stored / 2
  for i = 1, #stored, 2 do record[stored[i]] = stored[i + 1] end

  local forgotten = whole(record['forgotten']) or -1
  for fact, hour, at, seq, times, lane in string.gmatch(tallies, '(%S+) (%d+) (%d+) (%d+) (%d+) ([^;]+);') do
    local mark = 'seq ' .. box .. '/' .. lane
    at, seq, times = tonumber(at), tonumber(seq), tonumber(times)
    if seq > (whole(record[mark]) or 0) then
      record[mark], changed[mark] = digits(seq), true
      if at > forgotten then
        local field = fact .. ' ' .. hour
        local count, first, last = bucket(record[field])
        if not (count and first and last) then count, first, last, fields = 0, at, at, fields + 1 end
        record[field] = digits(count + times) .. ' ' .. digits(math.min(first, at)) .. ' ' .. digits(math.max(last, at))
        changed[field] = true
      end
    end
  end

  if fields > most then
    local buckets = {}
    for field in pairs(record) do
      local hour = string.match(field, '^%a+%.[%a-]+ (%d+)$')
      if hour then buckets[#buckets + 1] = { tonumber(hour), field } end
    end
    table.sort(buckets, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
    for i = 1, #buckets - most do
      local field = buckets[i][2]
      if adds then redis.call('HDEL', key, field) end
      record[field], changed[field] = nil, nil
    end
  end

  local writes = {}
  for field in pairs(changed) do
    writes[#writes + 1] = field
    writes[#writes + 1] = record[field]
  end
  if #writes > 0 then redis.call('HSET', key, unpack(writes)) end
  if adds then redis.call('PEXPIRE', key, retention) end
  local reply = {}
  for field, text in pairs(record) do
    if field ~= 'forgotten' and string.sub(field, 1, 4) ~= 'seq ' then
      reply[#reply + 1] = field
      reply[#reply + 1] = text
    end
  end
  return reply
end

local replies = {}
for i, key in ipairs(KEYS) do replies[i] = add(key, ARGV[3 + i]) end
return replies
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
  /** The number of keys comes first. */
  decoymxAdd: { lua: ADD },
  decoymxForget: { numberOfKeys: 1, lua: FORGET },
  decoymxAdvance: { numberOfKeys: 1, lua: ADVANCE },
  decoymxPut: { numberOfKeys: 3, lua: PUT },
  decoymxDrop: { numberOfKeys: 3, lua: DROP },
  decoymxSweep: { numberOfKeys: 3, lua: SWEEP },
}
