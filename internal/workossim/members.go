package workossim

// SetMembers replaces the active members of an organization. Until then, every user is a member
// of it. Without users, the organization has no members.
func (s *Simulator) SetMembers(organizationID string, userIDs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	members := map[string]bool{}
	for _, user := range userIDs {
		members[user] = true
	}
	s.members[organizationID] = members
}

// isMember reports whether the user is an active member of the organization.
func (s *Simulator) isMember(id ID) bool {
	members, limited := s.members[id.OrganizationID]
	return !limited || members[id.UserID]
}

// knowsOwner reports whether connections, of any slug, name the user, and the organization if
// the call has an organization. The members of an organization are known too. If everyone is
// connected at the slug, the result is true.
func (s *Simulator) knowsOwner(id ID) bool {
	if _, everyone := s.everyone[id.Slug]; everyone || id.Slug == "" && len(s.everyone) > 0 {
		return true
	}
	user, organization := false, id.OrganizationID == ""
	for known, members := range s.members {
		user = user || members[id.UserID]
		organization = organization || known == id.OrganizationID
	}
	for known := range s.accounts {
		if user && organization {
			break
		}
		user = user || known.UserID == id.UserID
		organization = organization || known.OrganizationID == id.OrganizationID
	}
	return user && organization
}
