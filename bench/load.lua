-- What wrk sends and what it tells: started by load.py.
--
--   wrk … -s load.lua URL -- METHOD BODY SEED [KEYS ASKERS]
--
-- In head and body, each run of # is the place of a number that goes up by one from place to place and
-- from request to request. It is padded with zeros to the run's length, so that lengths stay the same. In the
-- body, each run of @ is the place of as many random hexadecimal digits; in the head, a run of ^ that of a
-- random one of the first ASKERS lines of the file KEYS.

local pieces, places, keys, number = {}, {}, {}, 0

local function next_request()
  for at = 1, #pieces do
    local place = places[at]
    if place and place.is_key then
      pieces[at] = keys[math.random(#keys)]
    elseif place and place.is_random then
      pieces[at] = string.format(place.width, math.random(0, place.most))
    elseif place then
      number = number + 1
      pieces[at] = string.format(place.width, number)
    end
  end
  return table.concat(pieces)
end

local function place_of(run)
  if run:sub(1, 1) == "^" then
    return { is_key = true }
  end
  if run:sub(1, 1) == "@" then
    return { is_random = true, width = "%0" .. #run .. "x", most = 16 ^ #run - 1 }
  end
  return { width = "%0" .. #run .. "d" }
end

function init(args)
  wrk.method = args[1]
  wrk.body = args[2] ~= "" and args[2] or nil
  local text, from = wrk.format(), 1
  if not text:find("[#@^]") then
    return -- wrk sends it as it stands, and does not ask again
  end
  math.randomseed(tonumber(args[3]))
  if args[4] then
    for key in io.lines(args[4]) do
      keys[#keys + 1] = key
      if #keys == tonumber(args[5]) then
        break
      end
    end
  end
  for start, run in text:gmatch("()([#@^]+)") do
    pieces[#pieces + 1] = text:sub(from, start - 1)
    pieces[#pieces + 1] = run
    places[#pieces] = place_of(run)
    from = start + #run
  end
  pieces[#pieces + 1] = text:sub(from)
  request = next_request
end

function done(summary, latency)
  local failed = summary.errors
  io.write(string.format(
    'load: {"answers": %d, "microseconds": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, '
      .. '"refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    failed.status, failed.connect + failed.read + failed.write + failed.timeout
  ))
end
