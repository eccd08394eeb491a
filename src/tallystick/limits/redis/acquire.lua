-- Exact sliding windows, one string for each key: `limits/memory.py` for many nodes.
--
-- KEYS     the windows to check, in order; one may occur more than once
-- ARGV[1]  the windows' length in milliseconds, 1 to 65 535
-- ARGV[i]  the limit of KEYS[i - 1], 0 to 1 000 000; to peek at it, -1 minus that
-- Answers  one number for each check, all that the headers say:
--          admitted (bit 52) · remaining (20 bits) · reset_after_ms (16) · retry_after_ms (16)
--
-- A string holds a header and the stamps (milliseconds modulo 65 536, two bytes) of the requests
-- that were counted, oldest first. Those that have left the window stay in front, and `head` says
-- how many they are, until it is time to write the string anew without them. So most checks read
-- the first part of one string and write a few bytes of it, whatever its length. Promises are
-- those of `limits/memory.py`, and so are the names.
--
-- A key lives for up to two windows after its last counted request, so idle keys vanish. How long
-- is kept in the header as well: it is renewed once in a window, not at every request.
--
-- The clock is this server's. If it goes back, a key's requests move back with it until the last of
-- them was counted now: they stay as long as they would have, and are not kept until the clock is
-- there again. So `oldest_at` may move, and stamps say nothing but distances from the oldest one's.

local HEADER = '>I4I6I4I4I6' -- head, oldest_at, promised, promised_again, expires_at
local HEADER_BYTES = 24
local READ_BYTES = HEADER_BYTES + 2 * 500 -- what one check reads at once
local SMALL = 64 -- counted requests up to which writing all of them anew is the cheapest

local call, byte, pack, unpack = redis.call, string.byte, struct.pack, struct.unpack

local window = tonumber(ARGV[1])
local keep = 2 * window
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The window that is being checked.
local key, text, changed -- `changed`: the header is another one than is written there
local head, count, oldest_at, oldest, promised, promised_again, expires_at -- `oldest`: its stamp

local function stamp(index) -- of a counted request, 0 the oldest
  local at = HEADER_BYTES + 2 * (head + index)
  local high, low = byte(text, at + 1, at + 2)
  if not low then
    high, low = byte(call('GETRANGE', key, at, at + 1), 1, 2)
  end
  return 256 * high + low
end

local function offset(index) -- by how much it is younger than the oldest
  return (stamp(index) - oldest) % 65536
end

local function load(name)
  key = name
  text = call('GETRANGE', key, 0, READ_BYTES - 1)
  changed = false
  local length = #text
  if length <= HEADER_BYTES then
    head, count, oldest_at, promised, promised_again, expires_at = 0, 0, 0, 0, 0, 0
    return
  end
  if length == READ_BYTES then
    length = call('STRLEN', key)
  end
  head, oldest_at, promised, promised_again, expires_at = unpack(HEADER, text)
  count = (length - HEADER_BYTES) / 2 - head
  oldest = stamp(0)
  local ahead = oldest_at + offset(count - 1) - now
  if ahead > 0 then
    oldest_at = oldest_at - ahead
    changed = true
  end
end

local function count_gone(overdue)
  -- In strides that double, for mostly one is gone and now and then a million are.
  local some, more = 0, 1
  while more < count and offset(more) <= overdue do
    some, more = more, 2 * more
  end
  more = math.min(more, count)
  while some + 1 < more do
    local middle = math.floor((some + more) / 2)
    if offset(middle) <= overdue then
      some = middle
    else
      more = middle
    end
  end
  return more
end

local function let_go()
  local overdue = now - window - oldest_at
  if count == 0 or overdue < 0 then
    return
  end
  local gone = count_gone(overdue)
  if gone < count then
    oldest_at = oldest_at + offset(gone)
    oldest = stamp(gone)
  end
  head = head + gone
  count = count - gone
  promised = math.max(promised - gone, 0)
  promised_again = math.max(promised_again - gone, 0)
  changed = true
end

local function next_slot(limit, counted) -- to be told next, in a full window of so many
  local first = counted - limit
  local slot = promised < counted and promised or promised_again
  return first < slot and slot < counted and slot or first
end

local function write_header()
  call('SETRANGE', key, 0, pack(HEADER, head, oldest_at, promised, promised_again, expires_at))
end

local function write_anew(added)
  local from = HEADER_BYTES + 2 * head
  local live = ''
  if count > 0 then
    local to = from + 2 * count
    live = to <= #text and text:sub(from + 1, to) or call('GETRANGE', key, from, to - 1)
  end
  head, expires_at = 0, now + keep
  local header = pack(HEADER, head, oldest_at, promised, promised_again, expires_at)
  call('SET', key, header .. live .. added, 'PX', keep)
end

local function append(added)
  if count == 0 or (head > 0 and (count <= SMALL or head >= count)) then
    return write_anew(added)
  end
  if now + window > expires_at then
    expires_at = now + keep
    call('PEXPIRE', key, keep)
    changed = true
  end
  if changed then
    write_header()
  end
  call('APPEND', key, added)
end

local function answer(admitted, remaining, reset_after, retry_after)
  return ((admitted * 1048576 + remaining) * 65536 + reset_after) * 65536 + retry_after
end

local function reset_after()
  return count > 0 and oldest_at + window - now or 0
end

local function never() -- no slot will open, but the limit may be another one by then
  return answer(0, 0, reset_after(), window)
end

local function refuse(limit)
  local slot = next_slot(limit, count)
  if promised < count then
    promised = slot + 1
  else
    promised_again = slot + 1
  end
  write_header()
  return answer(0, 0, reset_after(), reset_after() + offset(slot))
end

local function admit(limit)
  if count == 0 then
    oldest_at, oldest = now, now % 65536
  end
  local younger = now - oldest_at
  local remaining, reset, retry = limit - count - 1, oldest_at + window - now, 0
  if remaining == 0 then
    local slot = next_slot(limit, count + 1)
    retry = reset + (slot == count and younger or offset(slot))
  end
  append(pack('>I2', (oldest + younger) % 65536))
  return answer(1, remaining, reset, retry)
end

local function acquire(limit)
  let_go()
  if limit == 0 then
    return never()
  end
  return count < limit and admit(limit) or refuse(limit)
end

local function peek(limit)
  let_go()
  if limit == 0 then
    return never()
  end
  if count < limit then
    return answer(1, limit - count, reset_after(), 0)
  end
  return answer(0, 0, reset_after(), reset_after() + offset(next_slot(limit, count)))
end

local answers = {}
for i = 1, #KEYS do
  local limit = tonumber(ARGV[i + 1])
  load(KEYS[i])
  answers[i] = limit < 0 and peek(-1 - limit) or acquire(limit)
end
return answers
