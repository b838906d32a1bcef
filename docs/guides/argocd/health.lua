-- The health of a PipesToken or a PipesEnvironment of pipes-operator. Their status is in kstatus format, and this
-- judges as kstatus does: Current is Healthy, InProgress is Progressing, Failed is Degraded.
local hs = {status = "Progressing", message = "Waiting for the operator"}

-- A new object has Ready=Unknown, from its CRD. One without any condition has not been looked at either, although
-- kstatus takes it for Current.
if obj.status == nil or obj.status.conditions == nil then
  return hs
end

-- The conditions speak of an older spec.
if obj.status.observedGeneration ~= nil and obj.status.observedGeneration ~= obj.metadata.generation then
  hs.message = "Waiting for the operator to look at the latest change"
  return hs
end

local ready, mark, renewalFailed
for _, condition in ipairs(obj.status.conditions) do
  if condition.type == "Ready" then
    ready = condition
  elseif condition.status == "True" then
    if condition.type == "Stalled" or condition.type == "Reconciling" then
      mark = mark or condition
    elseif condition.type == "RenewalFailed" then
      renewalFailed = condition
    end
  end
end

if mark ~= nil then
  -- Stalled or Reconciling. Both carry the message of Ready.
  hs.message = mark.message
  if mark.type == "Stalled" then
    hs.status = "Degraded"
  end
elseif ready ~= nil then
  hs.message = ready.message
  if ready.status == "True" then
    hs.status = "Healthy"
    -- The token is still valid. This tells why there may be no next one.
    if renewalFailed ~= nil then
      hs.message = renewalFailed.message
    end
  end
end
return hs
