-- Counts an attempt against every key, or against none. Each key has a rate of its own: so many at once, and then one for each period.
-- KEYS: what is counted. ARGV: run, how many are taken (1, or -1 to give one back), then for each key its period in milliseconds
-- and how many may be done at once.
-- Returns how many milliseconds there are to wait; 0 when the attempt was counted.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken = tonumber(ARGV[2])
local wait, due = 0, {}
for i = 1, #KEYS do
  local period, burst = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  local before = tonumber(redis.call('GET', KEYS[i]) or '0')
  wait = math.max(wait, before - (burst - 1) * period - now)
  due[i] = math.max(before, now) + taken * period
end
if taken > 0 and wait > 0 then return wait end
for i = 1, #KEYS do
  if due[i] > now then
    redis.call('SET', KEYS[i], string.format('%d', due[i]), 'PX', string.format('%d', due[i] - now))
  else
    redis.call('DEL', KEYS[i])
  end
end
return 0
